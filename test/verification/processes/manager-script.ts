import type { Plan } from "./script.js";

const STEPS = [
  ..."tttttttt".split("").map(() => "turns" as const),
  ...(["start", "save", "rename", "fork", "rewind", "load", "delete", "flush"] as const),
];

/** One more step of a program that uses a manager with auto-save. Returns the session that is current then. */
export function plan_manager_step(plan: Plan, current: string | undefined): string | undefined {
  const { random, ids } = plan;
  let kind = random.pick(STEPS);
  if (plan.is_full && (kind === "start" || kind === "fork" || kind === "rewind")) {
    kind = "delete";
  }
  if (current === undefined && kind !== "fork" && kind !== "delete" && kind !== "rename") {
    kind = ids.length === 0 || random.below(2) === 0 ? "start" : "load";
  }
  if (current !== undefined && plan.is_long(current) && kind === "turns") {
    kind = random.pick(["rewind", "start"] as const);
  }
  const id = random.pick(ids);
  const key = `new ${plan.label()}`;
  if (kind === "start" || id === undefined) {
    const label = plan.label();
    plan.add({ do: "start", key, label }, [key, { history: [], label }]);
    return key;
  }
  const of = plan.facts_of(id);
  switch (kind) {
    case "load":
      plan.add({ do: kind, id });
      return id;
    case "delete":
      plan.add({ do: kind, id }, [id, undefined]);
      return id === current ? undefined : current;
    case "fork": {
      const at = of.history.length === 0 ? undefined : random.pick([undefined, random.below(of.history.length)]);
      const history = at === undefined ? of.history : of.history.slice(0, at + 1);
      const message_id = at === undefined ? undefined : of.history[at];
      plan.add({ do: kind, id, key, ...(message_id !== undefined && { message_id }) }, [key, { history, label: null }]);
      return key;
    }
    case "rename": {
      const label = plan.label();
      plan.add({ do: kind, id, label }, [id, { ...of, label }]);
      return current;
    }
    default:
      plan_current_step(plan, kind, current ?? id);
      return current;
  }
}

/** What is done to the session that is current. */
function plan_current_step(plan: Plan, kind: "turns" | "save" | "rewind" | "flush", current: string): void {
  const { random } = plan;
  const { history, label } = plan.facts_of(current);
  switch (kind) {
    case "turns": {
      const turns = Array.from({ length: 1 + random.below(4) }, (): [string, string] => [plan.tag(), plan.tag()]);
      const states = turns.map((_, n) => ({ history: [...history, ...turns.slice(0, n + 1).flat()], label }));
      plan.add({ do: kind, turns }, ...states.map((state): [string, typeof state] => [current, state]));
      break;
    }
    case "save": {
      const given = plan.label();
      plan.add({ do: kind, label: given }, [current, { history, label: given }]);
      break;
    }
    case "rewind": {
      const at = random.below(history.length - 1);
      const message_id = history[at];
      if (message_id === undefined || at + 1 >= history.length) {
        plan.add({ do: "flush" });
        break;
      }
      const key = `new ${plan.label()}`;
      const kept = { history: history.slice(0, at + 1), label };
      plan.add({ do: kind, key, message_id }, [key, { history, label: null }], [current, kept]);
      break;
    }
    case "flush":
      plan.add({ do: kind });
  }
}
