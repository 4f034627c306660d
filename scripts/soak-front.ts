/** `skink serve` for the soak: ends in order when the soak is gone, whichever way that went. */
import { constants } from "node:os";
import { dieWithParent } from "../src/os/parent-death.ts";

dieWithParent(constants.signals.SIGTERM);
await import("../src/cli/main.ts");
