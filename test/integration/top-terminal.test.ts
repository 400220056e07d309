/** `crypto-edge top` in a real terminal: what it shows fits, after a resize at once, and the terminal is given back as it was. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../support/pages.ts";
import { startStaticEdge, staticConfiguration } from "../support/static-edge.ts";

const ESCAPE = String.fromCharCode(27);

test("it fits the terminal, is fitted again at once when that is resized, and q gives the terminal back", async () => {
  const edge = await startStaticEdge(
    staticConfiguration().replace("principal: local", "principal: local, status: true"),
  );
  // An hour between two looks: what comes after a resize comes by the resize.
  const top = [process.execPath, join(ROOT, "src/main.ts"), "top", "--edge", edge.url, "--interval"];
  for (const [interval, shown] of [
    ["0.5", "operations"],
    ["3600", "looking"],
  ] as const) {
    const terminal = Bun.spawn(
      ["python3", join(import.meta.dir, "support/terminal.py"), "100", "40", ...top, interval],
      { stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    );
    let output = "";
    const reading = (async () => {
      for await (const chunk of terminal.stdout) output += new TextDecoder().decode(chunk);
    })();
    const frames = (): string[] => output.split(`${ESCAPE}[H${ESCAPE}[J`).slice(1);
    const until = async (condition: () => boolean): Promise<void> => {
      for (let waited = 0; !condition(); waited++) {
        if (waited > 1_200) throw new Error(`in the terminal: ${JSON.stringify(output.slice(-2_000))}`);
        await Bun.sleep(50);
      }
    };
    await until(() => frames().at(-1)?.includes(shown) === true);
    const before = frames().length;
    terminal.stdin.write("resize 13 5\n");
    await terminal.stdin.flush();
    await until(() => frames().length > before + 1 || (interval === "3600" && frames().length > before));
    terminal.stdin.write("type q\n");
    await terminal.stdin.flush();
    expect(await terminal.exited).toBe(0);
    await reading;

    expect(output).toStartWith(`${ESCAPE}[?1049h${ESCAPE}[?25l`);
    expect(output).toEndWith(`${ESCAPE}[?25h${ESCAPE}[?1049l`);
    const [last] = frames().at(-1)!.split(`${ESCAPE}[?25h`);
    const lines = last!.split(/\r?\n/);
    expect(lines.length).toBeLessThanOrEqual(4);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(13);
  }
  await edge.close();
}, 300_000);
