import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { isOfKind, isStoredName, storedName } from "./names.ts";
import { isDescriptorName } from "./notification.ts";

test("whatever a device is called, its descriptors have names, and its own", () => {
  const text = fc.string({ unit: "binary", maxLength: 400 });
  fc.assert(
    fc.property(text, text, (one, other) => {
      const names = [storedName("ledger", one), storedName("ledger", other)];
      for (const name of names) {
        assert.ok(isDescriptorName(name), name);
        assert.ok(isStoredName(name) && isOfKind(name, "ledger") && !isOfKind(name, "led"));
      }
      assert.equal(names[0] === names[1], Buffer.from(one).equals(Buffer.from(other)));
    }),
  );
});

test("names are for people, too", () => {
  assert.equal(storedName("nbd"), "skink/nbd");
  assert.equal(storedName("arena", "disk-1.b"), "skink/arena/disk-1.b");
  assert.equal(storedName("arena", "a b:ü"), "skink/arena/a%20b%3a%c3%bc");
});

test("names that systemd gives are none of ours", () => {
  for (const name of ["skink.socket", "skink@disk.socket", "unknown", "control", "stored", ""]) {
    assert.equal(isStoredName(name), false, name);
  }
});
