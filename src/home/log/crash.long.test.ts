import { test } from "node:test";
import { anyEnd, live } from "./testing-lives.ts";

/** Those that npm test doesn't try. */
const SEEDS = { from: 51, count: 1000 };

test("deaths, power cuts and clean ends follow on each other, for many seeds", () => {
  live(SEEDS, anyEnd);
});
