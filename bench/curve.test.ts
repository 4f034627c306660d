import assert from "node:assert/strict";
import { test } from "node:test";
import { drawKillCurves } from "./curve.ts";

const curves = [
  { name: "standby", points: [point(10_000, 1), point(1000, 0.95), point(100, 0.4)] },
  { name: "no standby", points: [point(10_000, 0.99), point(1000, 0.9), point(100, 0.4)] },
];

function point(intervalMs: number, share: number) {
  return { intervalMs, share };
}

test("each curve has its points, from rare kills on the left to frequent ones on the right", () => {
  const picture = drawKillCurves(curves, []);
  const lines = [...picture.matchAll(/<polyline points="([^"]*)"/g)].map(([, points]) =>
    (points ?? "").split(" ").map((place) => place.split(",").map(Number) as [number, number]),
  );
  assert.equal(lines.length, 2);
  for (const line of lines) {
    assert.equal(line.length, 3);
    const [first, second, third] = line as [[number, number], [number, number], [number, number]];
    assert.ok(first[0] < second[0] && second[0] < third[0]);
    // A decade is as wide as the next one.
    assert.ok(Math.abs(third[0] - second[0] - (second[0] - first[0])) < 0.2);
    // Less throughput is further down.
    assert.ok(first[1] < second[1] && second[1] < third[1]);
  }
});

test("a goal is a mark at the share that is wanted, and curves that end together have names apart", () => {
  const picture = drawKillCurves(curves, [point(1000, 0.95)]);
  const [, goal] = /class="goal" x1="[^"]*" y1="([^"]*)"/.exec(picture) ?? [];
  assert.ok(goal !== undefined && picture.includes(`cy="${goal}"`));
  assert.match(picture, />goal 95 %</);
  const [one, other] = ["standby", "no standby"].map((name) =>
    Number(new RegExp(`y="([^"]*)"[^>]*>${name}<`).exec(picture)?.[1]),
  );
  assert.ok(Math.abs((one as number) - (other as number)) >= 12);
  assert.doesNotMatch(picture, /NaN|undefined|Infinity/);
});

test("a single interval is drawn, too", () => {
  assert.doesNotMatch(drawKillCurves([{ name: "one", points: [point(1000, 0.9)] }], []), /NaN|undefined|Infinity/);
});
