import { createClient, createCluster } from "redis";

export type Client = ReturnType<typeof connect>;
export type Cluster = ReturnType<typeof connect_cluster>;

/** The server of the machine, in a database that nobody else uses. */
export const SHARED_URL = "redis://127.0.0.1:6379/9";

const socket = { reconnectStrategy: () => 20 };

/** A client whose lost connections are told by the command that fails, and not by an event. */
export function connect(url: string) {
  return createClient({ url, socket }).on("error", () => undefined);
}

export function connect_cluster(ports: readonly number[]) {
  return createCluster({
    rootNodes: ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })),
    defaults: { socket },
  }).on("error", () => undefined);
}

/** Rejects where the server of the machine does not answer. */
export async function reach_shared(): Promise<void> {
  const client = createClient({ url: SHARED_URL, socket: { reconnectStrategy: false, connectTimeout: 2000 } });
  let lost: unknown;
  client.on("error", (error: unknown) => (lost = error));
  try {
    await client.connect();
    await client.ping();
    await client.close();
  } catch (error) {
    throw lost ?? error;
  }
}

let names = 0;

export function new_prefix(): string {
  names += 1;
  return `test-${process.pid}-${Date.now().toString(36)}-${names}`;
}

/** Removes the keys of these prefixes from one server. */
export async function remove_keys(client: Client, prefixes: readonly string[]): Promise<void> {
  for (const prefix of prefixes) {
    const keys = [`${prefix}:index`];
    for await (const found of client.scanIterator({ MATCH: `{${prefix}:*`, COUNT: 1000 })) {
      keys.push(...found);
    }
    await client.unlink(keys);
  }
}
