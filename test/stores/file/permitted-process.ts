import process from "node:process";
import { FileSessionStore } from "@simulacra-ai/session";

const text = (id: string) => ({ role: "user" as const, id, content: [{ type: "text" as const, text: id }] });

const store = new FileSessionStore(process.argv[2] ?? "");
await store.save("s", [text("one")], { parent_id: "p" });
const { revision = "" } = (await store.load("s")) ?? {};
await store.append("s", [text("two")], { revision });
await store.flush();
const loaded = await store.load("s");
const listed = (await store.list()).map(({ id }) => id);
const deleted = await store.delete("s");
console.log(JSON.stringify({ texts: loaded?.messages.map(({ id }) => id), listed, deleted }));
