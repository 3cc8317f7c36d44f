import process from "node:process";
import { STORES } from "./stores.mjs";

const { KIT_STORE, KIT_PLACE } = process.env;
const stores = await STORES[KIT_STORE]();

/** All places of the kit are one, so that nothing is left of them. */
export const open = () => stores.open(KIT_PLACE);

export const close = stores.close;
