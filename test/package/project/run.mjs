import * as session from "@simulacra-ai/session";
import { use_package } from "./use.cjs";

await use_package(session);
