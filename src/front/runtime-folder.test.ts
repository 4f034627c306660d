import assert from "node:assert/strict";
import { test } from "node:test";
import { runtimeFolder } from "./runtime-folder.ts";

/** There is no such user. */
const NOBODY = 2 ** 31;

test("a login session and cron have one runtime folder, unless another one is chosen", () => {
  assert.equal(runtimeFolder("", 0), "/run/skink");
  for (const session of ["/run/user/0", "/run/user/0/"]) assert.equal(runtimeFolder(session, 0), "/run/skink");
  for (const session of ["", `/run/user/${NOBODY}`])
    assert.equal(runtimeFolder(session, NOBODY), `/tmp/skink-${NOBODY}`);
  for (const user of [0, NOBODY]) assert.equal(runtimeFolder("/srv/run", user), "/srv/run/skink");
});
