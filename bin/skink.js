#!/usr/bin/env node
// Plain JavaScript, so that a Node that is too old for the rest still gets as far as saying so.
const WANTED_MAJOR = 24;

if (Number.parseInt(process.version.slice(1), 10) < WANTED_MAJOR) {
  process.stderr.write(
    `Cannot run skink: this is Node ${process.version}, ${WANTED_MAJOR} or newer was wanted; ` +
      "in a checkout, npm scripts and npx find one in node_modules\n",
  );
  process.exitCode = 2;
} else if (process.argv[2] === "serve" && process.argv.includes("--guard")) {
  // The guard of a front starts without loading one.
  import("../src/guard/main.ts");
} else {
  import("../src/cli/main.ts");
}
