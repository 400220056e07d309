import { describe, expect, test } from "bun:test";
import { CircuitBreaker } from "../../../src/base/time/circuit-breaker.ts";

function world(failuresToOpen = 2) {
  const changes: string[] = [];
  const asked: [number, number][] = [];
  const circuit = new CircuitBreaker({
    failuresToOpen,
    openForMs(openings, outageMs) {
      asked.push([openings, outageMs]);
      return 100 * (openings + 1);
    },
    onChange: (state, reason, openForMs) => changes.push(`${state} ${openForMs} ${reason}`),
  });
  return { circuit, changes, asked };
}

describe("a circuit", () => {
  test("opens after so many failures in a row, and not for fewer", () => {
    const { circuit, changes } = world();
    circuit.failed(circuit.period, 0, "away");
    circuit.succeeded(circuit.period);
    circuit.failed(circuit.period, 0, "away");
    expect(circuit.state).toBe("closed");
    circuit.failed(circuit.period, 5, "away");
    expect(changes).toEqual(["open 100 away"]);
    expect([circuit.isOpen(104), circuit.isOpen(105)]).toEqual([true, false]);
    expect(circuit.remainingMs(95)).toBe(10);
  });

  test("lets one call try when its time is over; its word decides", () => {
    const { circuit, changes, asked } = world(1);
    circuit.failed(circuit.period, 0, "away");
    expect(circuit.tryAgain(99)).toBe(false);
    expect(circuit.tryAgain(100)).toBe(true);
    expect(circuit.tryAgain(100)).toBe(false);
    circuit.failed(circuit.period, 110, "still away");
    expect(circuit.isOpen(309)).toBe(true);
    expect(circuit.tryAgain(310)).toBe(true);
    expect(circuit.succeeded(circuit.period)).toBe(true);
    expect(circuit.state).toBe("closed");
    // The next outage begins from the shortest wait.
    circuit.failed(circuit.period, 500, "away");
    expect(asked).toEqual([
      [0, 0],
      [1, 110],
      [0, 0],
    ]);
    expect(changes.map((change) => change.split(" ", 1)[0])).toEqual([
      "open",
      "half_open",
      "open",
      "half_open",
      "closed",
      "open",
    ]);
  });

  test("does not count the outcome of a call from before", () => {
    const { circuit } = world(1);
    const before = circuit.period;
    circuit.failed(before, 0, "away");
    expect(circuit.succeeded(before)).toBe(false);
    circuit.failed(before, 0, "away");
    expect(circuit.state).toBe("open");
    circuit.tryAgain(100);
    expect(circuit.succeeded(before)).toBe(false);
    circuit.failed(before, 100, "away");
    expect(circuit.state).toBe("half_open");
  });

  test("stays open for as long as the other side wishes, if that is longer", () => {
    const { circuit, changes } = world(1);
    circuit.failed(circuit.period, 0, "busy", 7_000);
    circuit.tryAgain(7_000);
    circuit.failed(circuit.period, 7_000, "busy", 1);
    expect(changes).toEqual(["open 7000 busy", "half_open 0 one call tries it", "open 200 busy"]);
  });

  test("can be opened for a time that the other side asked for", () => {
    const { circuit, changes } = world(5);
    circuit.open(0, "asked to wait", 7_000);
    expect(changes).toEqual(["open 7000 asked to wait"]);
    expect(circuit.isOpen(6_999)).toBe(true);
  });
});
