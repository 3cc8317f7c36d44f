import { with_clean_up, type Figure, type Subject } from "../harness.js";
import type { Backend } from "./backend.js";
import { append_and_load_figures, list_figures } from "./figures.js";
import { REDIS } from "./redis-backend.js";
import { SQL_BACKENDS } from "./sql-backends.js";
import { writers_figure } from "./writers.js";

const ALL = [...SQL_BACKENDS, REDIS];
export const BACKEND_NAMES: readonly string[] = ALL.map(({ name }) => name);

/** A store over a database costs little more than what an application would write itself. */
export const BACKENDS: Subject = {
  name: "backends",
  async measure({ quick, backends }) {
    const figures: Figure[] = [];
    for (const backend of ALL.filter(({ name }) => backends.includes(name))) {
      if (await is_reached(backend)) {
        console.error(`  ${backend.name} …`);
        figures.push(...(await figures_of(backend, quick)));
      }
    }
    return figures;
  },
};

async function is_reached(backend: Backend): Promise<boolean> {
  try {
    await backend.reach();
    return true;
  } catch (error) {
    console.error(`SKIPPED: backends (${backend.name}): it cannot be reached: ${String(error)}`);
    return false;
  }
}

async function figures_of(backend: Backend, quick: boolean): Promise<Figure[]> {
  const what = `backends (${backend.name}):`;
  const place = await backend.open();
  return with_clean_up(
    async () => {
      const figures = await append_and_load_figures(what, place, quick);
      figures.push(...(await list_figures(what, place, quick)));
      const writers = await writers_figure(what, place, quick);
      return writers === undefined ? figures : [...figures, writers];
    },
    () => place.close(),
  );
}
