import assert from "node:assert/strict";
import { test } from "node:test";
import { HOME_MUTATIONS } from "./home-mutations.ts";
import { MUTATIONS } from "./mutations.ts";
import { withPlanted } from "./planting.ts";

const SEEDS = 1000;
const AT_ONCE = 2;

test(`the checker finds each fault within ${SEEDS} worlds`, { concurrency: AT_ONCE }, async (t) => {
  await Promise.all(
    [...MUTATIONS, ...HOME_MUTATIONS].map((mutation) =>
      t.test(mutation.name, async () => {
        const { code, output } = await withPlanted(mutation, ({ simulate }) => simulate("--seeds", String(SEEDS)));
        assert.equal(code, 1, `not found: ${output}`);
        assert.match(output, /seed \d+ broke /);
      }),
    ),
  );
});
