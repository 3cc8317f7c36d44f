import { rm } from "node:fs/promises";
import { FileSessionStore } from "@simulacra-ai/session";

export const open = (place) => new FileSessionStore(place);

export const close = (store) => store.flush();

export const empty = (place) => rm(place, { recursive: true, force: true });

export { empty as remove };
