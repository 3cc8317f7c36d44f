import process from "node:process";
import { RedisSessionStore } from "../../../src/stores/redis/index.js";
import { connect } from "./clients.js";

/** What a process is to do: so many turns into one of the sessions after the other. */
export interface WriterTask {
  url: string;
  prefix: string;
  ids: string[];
  name: string;
  turns: number;
}

/** What it tells: the ids of the messages that were acknowledged, in order, and how often each error came. */
export interface WriterReport {
  written: [session: string, message: string][];
  errors: Record<string, number>;
}

async function main({ url, prefix, ids, name, turns }: WriterTask): Promise<WriterReport> {
  const client = connect(url);
  await client.connect();
  const store = new RedisSessionStore(client, { prefix });
  const report: WriterReport = { written: [], errors: {} };
  console.log("ready");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  for (let turn = 0; turn < turns; turn += 1) {
    const session = ids[turn % ids.length] ?? "";
    const id = `${name} ${turn}`;
    for (;;) {
      const { revision = "" } = (await store.load(session)) ?? {};
      try {
        const content = [{ type: "text" as const, text: id }];
        await store.append(session, [{ role: "user", id, content }], { revision });
        report.written.push([session, id]);
        break;
      } catch (error) {
        const { code = "none" } = error as { code?: string };
        report.errors[code] = (report.errors[code] ?? 0) + 1;
        if (code !== "conflict") {
          throw error;
        }
      }
    }
  }
  await client.close();
  return report;
}

main(JSON.parse(process.argv[2] ?? "") as WriterTask).then(
  (report) => {
    console.log(JSON.stringify(report));
    process.stdin.destroy();
  },
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
