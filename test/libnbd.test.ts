import { strict as assert } from "node:assert";
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

test("nbdinfo --list finds every device", { skip: peer("nbdinfo") }, () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:8M", { args: ["--name", "disk"] });
    const server = front.uri.replace("/disk?", "/?");
    const { exports } = JSON.parse(await scene.need("nbdinfo", ["--list", "--json", server])) as {
      exports: ExportInfo[];
    };
    assert.deepEqual(
      exports.map((info) => info["export-name"]),
      ["disk"],
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
