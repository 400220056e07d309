import { expect, test } from "bun:test";
import { onReloadSignal } from "../../../src/base/system/reload-signal.ts";

test("signals that come while a reload runs make one more, not one each", async () => {
  const finish: (() => void)[] = [];
  const end = onReloadSignal(() => new Promise<void>((resolve) => finish.push(resolve)));
  try {
    for (let signal = 0; signal < 30; signal++) process.emit("SIGHUP");
    expect(finish).toHaveLength(1);
    finish[0]!();
    await Bun.sleep(0);
    expect(finish).toHaveLength(2);
    finish[1]!();
    await Bun.sleep(0);
    expect(finish).toHaveLength(2);
  } finally {
    end();
  }
});
