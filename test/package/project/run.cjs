const session = require("@simulacra-ai/session");
const { use_package } = require("./use.cjs");

use_package(session).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
