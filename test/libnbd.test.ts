import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { peer } from "./peers.ts";
import { EXAMPLES, inScene } from "./scene.ts";
import { serve } from "./serve.ts";

interface ExportInfo {
  readonly "export-name": string;
  readonly "export-size": number;
  readonly contexts: readonly string[];
  readonly [flag: string]: unknown;
}

test("nbdinfo learns name, size and features", { skip: peer("nbdinfo") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:8M", { args: ["--name", "disk"] });
    assert.match(await scene.need("nbdinfo", [front.uri]), /export-size: 8388608/);
    assert.equal((await scene.need("nbdinfo", ["--size", front.uri])).trim(), "8388608");

    const { exports } = JSON.parse(await scene.need("nbdinfo", ["--json", front.uri])) as { exports: ExportInfo[] };
    const [info] = exports;
    assert.ok(info !== undefined);
    assert.equal(info["export-name"], "disk");
    assert.equal(info["export-size"], 8 << 20);
    assert.deepEqual(info.contexts, ["base:allocation"]);
    for (const feature of ["flush", "fua", "trim", "zero", "cache", "multi_conn", "df"]) {
      assert.equal(info[`can_${feature}`], true, `can_${feature}`);
    }
    assert.equal(info.is_read_only, false);
    for (const feature of ["flush", "fua", "trim", "zero"]) await scene.need("nbdinfo", ["--can", feature, front.uri]);
    await front.stop();
  }),
);

test("nbdinfo --list finds every device, each with its own size", { skip: peer("nbdinfo") }, () =>
  inScene(async (scene) => {
    const yaml = "devices:\n  - { name: disk, spec: memory:8M }\n  - { name: tape, spec: null:1G, readOnly: true }\n";
    const front = await serve(scene, scene.write("two.yaml", yaml), { devices: 2 });
    const server = front.uri.replace("/disk?", "/?");
    const { exports } = JSON.parse(await scene.need("nbdinfo", ["--list", "--json", server])) as {
      exports: ExportInfo[];
    };
    assert.deepEqual(
      exports.map((info) => [info["export-name"], info["export-size"], info.is_read_only]),
      [
        ["disk", 8 << 20, false],
        ["tape", 1 << 30, true],
      ],
    );
    assert.match(await scene.need("nbdinfo", ["--list", server]), /export="disk":[\s\S]*export="tape":/);
    await front.stop();
  }),
);

test("nbddump shows what was written, where it is", { skip: peer("nbddump", "nbdsh") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M");
    await scene.need("nbdsh", ["-u", front.uri, "-c", "h.pwrite(b'sixteen letters!' + bytes(496), 65536)"]);
    const lines = (await scene.need("nbddump", [front.uri])).split("\n");
    assert.ok(
      lines.some((line) => /^0000010000: .*\|sixteen letters!\|$/.test(line)),
      lines.join("\n"),
    );
    await front.stop();
  }),
);

test("nbdinfo --map sees data and holes of a file", { skip: peer("nbdinfo", "nbdsh") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `file:${scene.path("disk.img")}?size=8M`);
    await scene.need("nbdsh", ["-u", front.uri, "-c", "h.pwrite(b'x' * 65536, 1048576)"]);
    const map = JSON.parse(await scene.need("nbdinfo", ["--map", "--json", front.uri])) as {
      offset: number;
      length: number;
      type: number;
    }[];
    assert.deepEqual(
      map.map(({ offset, length, type }) => [offset, length, type]),
      [
        [0, 1 << 20, 3],
        [1 << 20, 65536, 0],
        [(1 << 20) + 65536, (7 << 20) - 65536, 3],
      ],
    );
    await front.stop();
  }),
);

test("nbdsh gets every kind of request answered, before a kill and after", { skip: peer("nbdsh") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, `${EXAMPLES}/volatile.ts?size=8M`);
    const before = [
      "import nbd",
      "assert h.get_size() == 8 << 20",
      "h.pwrite(b'a' * 8192, 0)",
      "h.pwrite(b'b' * 4096, 4096, nbd.CMD_FLAG_FUA)",
      "h.zero(count=4096, offset=8192)",
      "h.pwrite(b'c' * 512, 8704)",
      "h.flush()",
      "h.pwrite(b'd' * 512, 9216)",
      "h.trim(65536, 131072) if h.can_trim() else None",
      "h.cache(4096, 0)",
      "h.block_status(65536, 0, lambda *a: 0)",
    ];
    const after = [
      "assert h.pread(4096, 0) == b'a' * 4096",
      "assert h.pread(4096, 4096) == b'b' * 4096",
      "assert h.pread(2048, 8192) == bytes(512) + b'c' * 512 + b'd' * 512 + bytes(512)",
      "assert h.pread_structured(512, 8704, lambda *a: 0) == b'c' * 512",
    ];
    await scene.need("nbdsh", ["--base-allocation", "-u", front.uri, "-c", before.join("\n")]);
    await front.killDriver();
    await scene.need("nbdsh", ["--base-allocation", "-u", front.uri, "-c", after.join("\n")]);
    assert.equal((await front.device()).counters.errors, 0);
    await front.stop();
  }),
);

/** Python: `refused` holds that a call is answered with an error of that name. */
const REFUSED = [
  "import nbd",
  "h.set_strict_mode(0)",
  "def refused(name, call, *args):",
  "  try: call(*args)",
  "  except nbd.Error as error: assert error.errno == name, (call.__name__, args[-2:], error.errno, name)",
  "  else: assert False, (call.__name__, args[-2:], 'succeeded', name)",
];

test("what a client should not send gets its error, and the connection goes on", { skip: peer("nbdsh") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:64M");
    const script = [
      ...REFUSED,
      "size = h.get_size()",
      // Past the end, and across it.
      "for offset in (size, size - 512, 2**63 - 1024):",
      "  refused('EINVAL', h.pread, 1024, offset)",
      "  refused('ENOSPC', h.pwrite, bytes(1024), offset)",
      "  refused('ENOSPC', h.zero, 1024, offset)",
      "  refused('EINVAL', h.trim, 1024, offset)",
      "  refused('EINVAL', h.cache, 1024, offset)",
      // Not whole blocks.
      "for (count, offset) in ((511, 0), (512, 1), (1, 0)):",
      "  refused('EINVAL', h.pread, count, offset)",
      "  refused('EINVAL', h.pwrite, bytes(count), offset)",
      "  refused('EINVAL', h.zero, count, offset)",
      "  refused('EINVAL', h.trim, count, offset)",
      // Flags that nobody knows, or not with this command.
      "refused('EINVAL', h.pread, 512, 0, 0x8000)",
      "refused('EINVAL', h.pwrite, bytes(512), 0, nbd.CMD_FLAG_REQ_ONE)",
      "refused('EINVAL', h.zero, 512, 0, nbd.CMD_FLAG_DF)",
      "refused('EINVAL', h.trim, 512, 0, nbd.CMD_FLAG_NO_HOLE)",
      // More than a request may carry, and a status that was not negotiated.
      "refused('EINVAL', h.pread, (32 << 20) + 512, 0)",
      "refused('EINVAL', h.pwrite, bytes((32 << 20) + 512), 0)",
      "refused('EINVAL', h.block_status, 4096, 0, lambda *a: 0)",
      // Nothing at all is no error.
      "h.pwrite(b'', 0)",
      "h.zero(0, 0)",
      "h.trim(0, 0)",
      "h.cache(0, 0)",
      "assert h.pread(0, 0) == b''",
      "h.pwrite(b'x' * 512, size - 512)",
      "assert h.pread(512, size - 512) == b'x' * 512",
      "h.shutdown()",
    ];
    await scene.need("nbdsh", ["-u", front.uri, "-c", script.join("\n")]);
    await front.stop();
  }),
);

test("a read-only disk refuses every kind of write with EPERM", { skip: peer("nbdsh", "nbdinfo") }, () =>
  inScene(async (scene) => {
    const path = scene.write("disk.img", Buffer.alloc(1 << 20, "r"));
    const front = await serve(scene, `file:${path}`, { args: ["--read-only"] });
    const script = [
      ...REFUSED,
      "assert h.is_read_only()",
      "refused('EPERM', h.pwrite, b'w' * 512, 0)",
      "refused('EPERM', h.zero, 512, 0)",
      "refused('EPERM', h.trim, 512, 0)",
      "assert h.pread(512, 0) == b'r' * 512",
    ];
    await scene.need("nbdsh", ["-u", front.uri, "-c", script.join("\n")]);
    await scene.need("nbdinfo", ["--is", "read-only", front.uri]);
    await front.stop();
    assert.deepEqual(readFileSync(path), Buffer.alloc(1 << 20, "r"));
  }),
);
