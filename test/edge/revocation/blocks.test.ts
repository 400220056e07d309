import { describe, expect, test } from "bun:test";
import type { RevocationScope } from "../../../src/edge/cache/lease-cache.ts";
import { Blocks } from "../../../src/edge/revocation/blocks.ts";
import { fc } from "../../support/properties.ts";

interface Word {
  readonly scope: RevocationScope;
  readonly kind: "compromised" | "destroyed" | "restore";
}

const TENANTS = ["t", "u"];
const SERVICES = ["a", "b"];
const VERSIONS = [1, 2, 3];

const scopes: fc.Arbitrary<RevocationScope> = fc.oneof(
  fc.record({ tenant: fc.constantFrom(...TENANTS) }),
  fc.record({ tenant: fc.constantFrom(...TENANTS), service: fc.constantFrom(...SERVICES) }),
  fc.record({
    tenant: fc.constantFrom(...TENANTS),
    service: fc.constantFrom(...SERVICES),
    version: fc.constantFrom(...VERSIONS),
  }),
);

const words: fc.Arbitrary<Word> = fc.record({
  scope: scopes,
  kind: fc.constantFrom("compromised", "destroyed", "restore"),
});

function covers(scope: RevocationScope, tenant: string, service: string, version: number): boolean {
  return (
    scope.tenant === tenant &&
    (scope.service === undefined || scope.service === service) &&
    (scope.version === undefined || scope.version === version)
  );
}

const breadth = ({ service, version }: RevocationScope): number =>
  service === undefined ? 2 : version === undefined ? 1 : 0;

/** The rule, read aloud: newest first, the first word about the version decides; but a wider restore lifts no destruction. */
function isBlockedByRule(log: readonly Word[], tenant: string, service: string, version: number): boolean {
  let restoredBreadth = -1;
  for (const { scope, kind } of log.toReversed()) {
    if (!covers(scope, tenant, service, version)) continue;
    if (kind === "restore") {
      if (restoredBreadth === -1) restoredBreadth = breadth(scope);
      continue;
    }
    if (restoredBreadth === -1) return true;
    if (kind === "destroyed" && restoredBreadth > breadth(scope)) return true;
  }
  return false;
}

/** As the guard applies them: revocations at once, in whatever order; restores in theirs, after all that is older. */
function apply(blocks: Blocks, log: readonly Word[]): void {
  log.forEach(({ scope, kind }, index) => {
    if (kind === "restore") blocks.restore(scope, index + 1);
    else blocks.revoke(scope, index + 1, kind === "destroyed");
  });
}

/** As `apply`, but the revocations that `picks` chooses come first. */
function applyOvertaking(blocks: Blocks, log: readonly Word[], picks: readonly number[]): void {
  const revokes = [...log.entries()].filter(([, { kind }]) => kind !== "restore");
  const ahead = new Map(revokes.length === 0 ? [] : picks.map((pick) => revokes[pick % revokes.length]!));
  for (const [index, { scope, kind }] of ahead) blocks.revoke(scope, index + 1, kind === "destroyed");
  log.forEach(({ scope, kind }, index) => {
    if (kind === "restore") blocks.restore(scope, index + 1);
    else if (!ahead.has(index)) blocks.revoke(scope, index + 1, kind === "destroyed");
  });
}

function verdicts(isBlocked: (tenant: string, service: string, version: number) => boolean): string[] {
  const found: string[] = [];
  for (const tenant of TENANTS) {
    for (const service of SERVICES) {
      for (const version of VERSIONS)
        if (isBlocked(tenant, service, version)) found.push(`${tenant}/${service}/${version}`);
    }
  }
  return found;
}

describe("the blocks", () => {
  test("forbid what the newest word about a version forbids, for any log without destruction", () => {
    fc.assert(
      fc.property(
        fc.array(
          words.filter(({ kind }) => kind !== "destroyed"),
          { maxLength: 24 },
        ),
        (log) => {
          const blocks = new Blocks({ maxScopes: 1_000, onForget: () => {} });
          apply(blocks, log);
          expect(verdicts((...version) => blocks.isBlocked(...version))).toEqual(
            verdicts((...version) => isBlockedByRule(log, ...version)),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  test("never lift what was destroyed by a restore of something wider", () => {
    const blocks = new Blocks({ maxScopes: 10, onForget: () => {} });
    blocks.revoke({ tenant: "t", service: "a", version: 1 }, 1, true);
    blocks.revoke({ tenant: "t", service: "a" }, 2, false);
    blocks.restore({ tenant: "t", service: "a" }, 3);
    blocks.restore({ tenant: "t" }, 4);
    expect(verdicts((...version) => blocks.isBlocked(...version))).toEqual(["t/a/1"]);
    blocks.restore({ tenant: "t", service: "a", version: 1 }, 5);
    expect(blocks.size).toBe(0);
  });

  test("come out the same when revocations overtake each other and restores", () => {
    fc.assert(
      fc.property(
        fc.array(
          words.filter(({ kind }) => kind !== "destroyed"),
          { maxLength: 12 },
        ),
        fc.array(fc.nat(), { maxLength: 12 }),
        (log, picks) => {
          const inOrder = new Blocks({ maxScopes: 1_000, onForget: () => {} });
          apply(inOrder, log);
          const early = new Blocks({ maxScopes: 1_000, onForget: () => {} });
          applyOvertaking(early, log, picks);
          expect(verdicts((...version) => early.isBlocked(...version))).toEqual(
            verdicts((...version) => inOrder.isBlocked(...version)),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  test("keep refusing older answers when they are full: the floor rises over what is forgotten", () => {
    let floor = 0;
    const blocks = new Blocks({ maxScopes: 100, onForget: (seq) => (floor = Math.max(floor, seq)) });
    for (let seq = 1; seq <= 10_000; seq++) blocks.revoke({ tenant: `t${seq}`, service: "s", version: 1 }, seq, false);
    expect(blocks.size).toBe(100);
    expect(blocks.overflowed).toBe(true);
    expect(floor).toBe(9_900);
    expect(blocks.isBlocked("t9901", "s", 1)).toBe(true);
    expect(blocks.isBlocked("t9900", "s", 1)).toBe(false);
  });

  test("never lower a barrier, while anything of its tenant is remembered", () => {
    fc.assert(
      fc.property(fc.array(words, { minLength: 1, maxLength: 24 }), (log) => {
        const blocks = new Blocks({ maxScopes: 1_000, onForget: () => {} });
        // Destroyed, and named by no word: it stays.
        for (const tenant of TENANTS) blocks.revoke({ tenant, service: "kept", version: 1 }, 1, true);
        const barriers = () => TENANTS.flatMap((tenant) => SERVICES.map((service) => blocks.barrier(tenant, service)));
        log.forEach(({ scope, kind }, index) => {
          const before = barriers();
          if (kind === "restore") blocks.restore(scope, index + 2);
          else blocks.revoke(scope, index + 2, kind === "destroyed");
          for (const [at, barrier] of barriers().entries()) expect(barrier).toBeGreaterThanOrEqual(before[at]!);
        });
      }),
      { numRuns: 200 },
    );
  });

  test("that events were lost over refuse no more by themselves, but may still stand; a newer one refuses", () => {
    const blocks = new Blocks({ maxScopes: 10, onForget: () => {} });
    const verdict = () => [blocks.isBlocked("t", "a", 1), blocks.mayBeBlocked("t", "a")];
    expect(verdict()).toEqual([false, false]);
    blocks.revoke({ tenant: "t", service: "a", version: 1 }, 5, false);
    // One version alone: the service as a whole is not in question.
    expect(verdict()).toEqual([true, false]);
    blocks.makeStale(4);
    expect(verdict()).toEqual([true, false]);
    blocks.makeStale(5);
    expect(verdict()).toEqual([false, true]);
    // The same word again is no newer one.
    blocks.revoke({ tenant: "t", service: "a", version: 1 }, 5, false);
    expect(verdict()).toEqual([false, true]);
    expect(blocks.mayBeBlocked("t", "b")).toBe(false);
    expect(blocks.mayBeBlocked("u", "a")).toBe(false);
    blocks.revoke({ tenant: "t", service: "a" }, 6, false);
    expect(verdict()).toEqual([true, true]);
  });

  test("take one place for a scope, however often it is revoked, and forget it by its newest word", () => {
    const forgotten: number[] = [];
    const blocks = new Blocks({ maxScopes: 2, onForget: (seq) => forgotten.push(seq) });
    const scopesOfAllKinds = [
      { tenant: "t" },
      { tenant: "t", service: "a" },
      { tenant: "t", service: "a", version: 1 },
    ];
    for (const [kind, scope] of scopesOfAllKinds.entries()) {
      for (let seq = 10 * kind + 1; seq <= 10 * kind + 9; seq++) blocks.revoke(scope, seq, false);
      expect(blocks.size).toBe(Math.min(2, kind + 1));
    }
    expect(forgotten).toEqual([9]);
    expect(blocks.scopes()).toEqual(scopesOfAllKinds.slice(1));
  });

  test("take in what lies in them, but for what was destroyed", () => {
    const blocks = new Blocks({ maxScopes: 10, onForget: () => {} });
    blocks.revoke({ tenant: "t", service: "a", version: 1 }, 1, false);
    blocks.revoke({ tenant: "t", service: "a", version: 2 }, 2, true);
    blocks.revoke({ tenant: "t", service: "a" }, 3, false);
    expect(blocks.scopes()).toStrictEqual([
      { tenant: "t", service: "a", version: 2 },
      { tenant: "t", service: "a" },
    ]);
    blocks.revoke({ tenant: "t" }, 4, false);
    expect(blocks.scopes()).toStrictEqual([{ tenant: "t", service: "a", version: 2 }, { tenant: "t" }]);
  });

  test("know a revocation that comes after the newer restore of its scope: answers from before it stay refused", () => {
    const blocks = new Blocks({ maxScopes: 10, onForget: () => {} });
    const scope = { tenant: "t", service: "a", version: 1 };
    blocks.revoke({ tenant: "t", service: "a" }, 5, false);
    blocks.restore(scope, 7);
    blocks.revoke(scope, 6, false);
    expect([blocks.isBlocked("t", "a", 1), blocks.barrier("t", "a")]).toEqual([false, 6]);
  });

  test("are bounded also where restores inside a block are remembered", () => {
    const blocks = new Blocks({ maxScopes: 3, onForget: () => {} });
    blocks.revoke({ tenant: "t" }, 1, false);
    for (let seq = 2; seq <= 9; seq++) blocks.restore({ tenant: "t", service: `s${seq}` }, seq);
    expect([blocks.size, blocks.overflowed]).toEqual([3, true]);
  });

  test("refuse an answer from before any revocation that touches it, whatever came after", () => {
    fc.assert(
      fc.property(
        fc.array(words, { minLength: 1, maxLength: 24 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        fc.integer({ min: 1, max: 8 }),
        (log, picks, maxScopes) => {
          let floor = 0;
          const blocks = new Blocks({ maxScopes, onForget: (seq) => (floor = Math.max(floor, seq)) });
          applyOvertaking(blocks, log, picks);
          for (const tenant of TENANTS) {
            for (const service of SERVICES) {
              const newest = log.findLastIndex(
                ({ scope, kind }) =>
                  kind !== "restore" && VERSIONS.some((version) => covers(scope, tenant, service, version)),
              );
              expect(Math.max(floor, blocks.barrier(tenant, service))).toBeGreaterThanOrEqual(newest + 1);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a block that is lifted", () => {
  function createBlocks() {
    const forgotten: number[] = [];
    const blocks = new Blocks({ maxScopes: 10, onForget: (seq) => void forgotten.push(seq) });
    return { blocks, forgotten };
  }

  test("leaves its number to the tenant while others of it are blocked, and nothing else", () => {
    const { blocks, forgotten } = createBlocks();
    blocks.revoke({ tenant: "t", service: "a" }, 5, false);
    blocks.revoke({ tenant: "t", service: "b", version: 1 }, 6, false);
    expect([blocks.barrier("t", "a"), blocks.barrier("t", "b"), blocks.barrier("t", "c")]).toEqual([5, 6, 0]);
    blocks.restore({ tenant: "t", service: "a" }, 7);
    expect([blocks.barrier("t", "a"), blocks.barrier("t", "c"), forgotten]).toEqual([5, 5, []]);
    blocks.restore({ tenant: "t", service: "b", version: 1 }, 8);
    expect(forgotten).toEqual([6]);
  });

  test("leaves its number to all where it was the tenant's last, and the tenant is forgotten", () => {
    for (const scope of [{ tenant: "t" }, { tenant: "t", service: "a" }, { tenant: "t", service: "a", version: 1 }]) {
      const { blocks, forgotten } = createBlocks();
      blocks.revoke(scope, 5, false);
      expect([blocks.barrier("t", "a"), forgotten]).toEqual([5, []]);
      blocks.restore(scope, 6);
      expect([blocks.barrier("t", "a"), blocks.size, forgotten]).toEqual([0, 0, [5]]);
    }
  });

  test("of an older log has no number in the new one", () => {
    const { blocks } = createBlocks();
    blocks.revoke({ tenant: "t", service: "a" }, 5, false);
    blocks.rebase();
    expect([blocks.isBlocked("t", "a"), blocks.barrier("t", "a")]).toEqual([true, 0]);
  });
});
