import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { register, session_store_cases, type ConformanceNeed } from "@simulacra-ai/session/conformance";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RedisSessionStore } from "../../../src/stores/redis/index.js";
import { capabilities_of } from "../../backends.js";
import { user } from "../../support/messages.js";
import { connect_cluster, new_prefix, type Cluster } from "./clients.js";
import { HAS_SERVER, start_cluster, type OwnCluster } from "./servers.js";

const run = promisify(execFile);

/** The needs that the store meets on a cluster, which is not there yet when the tests are registered. */
const HAS = new Set<ConformanceNeed>([
  ...capabilities_of(RedisSessionStore.prototype),
  ...(["rules", "query", "revision", "reopen", "open_second"] as const),
]);

describe.skipIf(!HAS_SERVER)("on a cluster of three masters", () => {
  let servers: OwnCluster | undefined;
  let cluster: Cluster;
  beforeAll(async () => {
    servers = await start_cluster();
    cluster = connect_cluster(servers.ports);
    await cluster.connect();
  });
  afterAll(async () => {
    if (servers !== undefined) {
      cluster.destroy();
      await servers.close();
    }
  });

  describe("rule 28: RedisSessionStore", () => {
    let last = "";
    const again = () => new RedisSessionStore(cluster, { prefix: last });
    const open = () => {
      last = new_prefix();
      return again();
    };
    const claimed = session_store_cases.filter(({ needs = [] }) => needs.every((need) => HAS.has(need)));
    register(test, { open, reopen: again, open_second: again }, claimed);
  });

  test("rule 57.2: sessions lie on every master, and rebuild_index finds them all", async () => {
    const prefix = new_prefix();
    const store = new RedisSessionStore(cluster, { prefix });
    const names = Array.from({ length: 60 }, (_, n) => `s${n} {x}`);
    await Promise.all(names.map((id) => store.save(id, [user(id)], { label: id })));
    const before = await store.list();
    const counts = await Promise.all(
      cluster.masters.map(async (node) => {
        const client = await cluster.nodeClient(node);
        return (await client.keys(`{${prefix}:*`)).length;
      }),
    );
    expect(counts.every((count) => count > 0)).toBe(true);
    await cluster.unlink(`${prefix}:index`);
    expect(await store.list()).toEqual([]);
    expect(await store.rebuild_index()).toBe(names.length);
    expect(await store.list()).toEqual(before);
  });

  test("rules 23 and 57.3: slots move between masters while turns are written: nothing acknowledged is lost or doubled", async () => {
    const prefix = new_prefix();
    const store = new RedisSessionStore(cluster, { prefix });
    const acknowledged = new Map<string, string[]>();
    let [is_over, total] = [false, 0];
    const write = async (id: string) => {
      const written: string[] = [];
      acknowledged.set(id, written);
      let { revision } = await store.replace(id, [], { revision: null });
      while (!is_over) {
        const next = `${id} turn ${written.length}`;
        ({ revision } = await store.append(id, [user(next, next)], { revision }));
        written.push(next);
        total += 1;
      }
    };
    const names = Array.from({ length: 12 }, (_, n) => `s${n}`);
    const moved: string[] = [];
    const writers = Promise.all(names.map(write));
    const { ports } = servers as OwnCluster;
    const nodes = nodes_of((await run("redis-cli", ["-p", String(ports[0]), "cluster", "nodes"])).stdout);
    try {
      await reshard(ports, nodes, 300);
      for (const key of [...names.map((id) => `{${prefix}:${id}}:session`), `${prefix}:index`]) {
        const has_moved = await move(cluster, nodes, key, ports[1] ?? 0, async () => {
          const before = total;
          while (total < before + 2 * names.length) {
            await Promise.race([writers, new Promise((resolve) => setImmediate(resolve))]);
          }
        });
        moved.push(...(has_moved ? [key] : []));
      }
    } finally {
      is_over = true;
    }
    await writers;
    expect(moved.length).toBeGreaterThan(0);
    for (const [id, written] of acknowledged) {
      expect((await store.load(id))?.messages.map((one) => one.id)).toEqual(written);
    }
    expect((await store.list()).map(({ id, message_count }) => [id, message_count]).sort()).toEqual(
      [...acknowledged].map(([id, written]) => [id, written.length]).sort(),
    );
  });
});

/** The names of the masters by their ports. */
function nodes_of(lines: string): Map<number, string> {
  const known = new Map<number, string>();
  for (const line of lines.split("\n")) {
    const [name, , port] = line.split(/[ :@]/);
    known.set(Number(port), name ?? "");
  }
  return known;
}

/** As an administrator does it, from the first master to the second. */
async function reshard(ports: readonly number[], nodes: ReadonlyMap<number, string>, slots: number): Promise<void> {
  const [from = 0, to = 0] = ports;
  const which = ["--cluster-from", nodes.get(from) ?? "", "--cluster-to", nodes.get(to) ?? ""];
  const how = ["--cluster-slots", String(slots), "--cluster-yes"];
  await run("redis-cli", ["--cluster", "reshard", `127.0.0.1:${from}`, ...which, ...how]);
}

type Masters = { port: number; client: Awaited<ReturnType<Cluster["nodeClient"]>> }[];

function masters_of(cluster: Cluster): Promise<Masters> {
  return Promise.all(
    cluster.masters.map(async (node) => ({ port: node.port, client: await cluster.nodeClient(node) })),
  );
}

/** Servers take slots back from one whose latest claim they have not heard of, so each claim is heard by all first. */
async function agree(masters: Masters): Promise<void> {
  for (;;) {
    const views = await Promise.all(
      masters.map(async ({ client }) => {
        const lines = (await client.clusterNodes()).trim().split("\n");
        return lines.map((line) => [line.slice(0, 40), ...line.split(" ").slice(6)].join(" ")).sort();
      }),
    );
    const [first = "", ...others] = views.map((view) => view.join("\n").replace(/ (dis)?connected/g, ""));
    if (others.every((view) => view === first)) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * The slot of a key to the master at a port, where it is not there; `meanwhile` runs when its keys have moved, and the
 * cluster does not know yet. Returns whether it moved.
 */
async function move(
  cluster: Cluster,
  nodes: ReadonlyMap<number, string>,
  key: string,
  port: number,
  meanwhile: () => Promise<void>,
): Promise<boolean> {
  const masters = await masters_of(cluster);
  await agree(masters);
  const target = masters.find((one) => one.port === port);
  const slot = Number(await target?.client.clusterKeySlot(key));
  const shards = (await target?.client.clusterSlots()) ?? [];
  const owner = shards.find(({ from, to }) => from <= slot && slot <= to)?.master.port;
  const source = masters.find((one) => one.port === owner);
  if (source === undefined || target === undefined) {
    throw new Error(`no master of slot ${slot}`);
  }
  if (source === target) {
    return false;
  }
  const [from, to] = [nodes.get(source.port) ?? "", nodes.get(target.port) ?? ""];
  await target.client.clusterSetSlot(slot, "IMPORTING", from);
  await source.client.clusterSetSlot(slot, "MIGRATING", to);
  for (;;) {
    const keys = await source.client.clusterGetKeysInSlot(slot, 10);
    if (keys.length === 0) {
      break;
    }
    await source.client.migrate("127.0.0.1", target.port, keys, 0, 5000);
  }
  await meanwhile();
  await target.client.clusterSetSlot(slot, "NODE", to);
  for (const { client } of masters.filter((one) => one !== target)) {
    await client.clusterSetSlot(slot, "NODE", to);
  }
  return true;
}
