import { register } from "@simulacra-ai/session/conformance";
import { describe, test } from "vitest";
import { each_database, use_tables, type OpenTables } from "./databases.js";

each_database((database) => {
  describe("rule 28: SqlSessionStore", () => {
    const { open } = use_tables(database, 1);
    let last: OpenTables | undefined;
    const again = () => (last as OpenTables).reopen();
    register(test, {
      open: () => {
        last = open();
        return last.store;
      },
      reopen: again,
      ...(database.is_server && { open_second: again }),
    });
  });
});
