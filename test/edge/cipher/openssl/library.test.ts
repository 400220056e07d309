/** Which library is taken, and what is said of one that is not. */
import { describe, expect, test } from "bun:test";
import { foreignFunctions } from "../../../../src/base/system/system-calls.ts";
import { findLibrary, OpensslError, whoElseMayWrite } from "../../../../src/edge/cipher/openssl/find-library.ts";
import { openLibrary } from "../../../../src/edge/cipher/openssl/library.ts";
import { type Changes, libraryOf, opensslFunctions } from "../../../support/openssl-parts.ts";

const refusal = (changes: Changes): string => {
  try {
    libraryOf(opensslFunctions(changes).functions);
  } catch (error) {
    expect(error).toBeInstanceOf(OpensslError);
    return (error as Error).message;
  }
  return "taken";
};

test("the machine's own is taken, with a name, a version and its AES and HKDF", () => {
  const { functions, counts } = opensslFunctions();
  const library = libraryOf(functions);
  expect(library.version).toMatch(/^OpenSSL 3\.\d+\.\d+$/);
  expect(library.fips).toBe(false);
  // Modules come from where the library was installed, whatever the environment says.
  expect(counts.OSSL_PROVIDER_set_default_search_path).toBe(1);
  library.close();
});

describe("a library is not taken", () => {
  test.each([
    ["of another major version", { OPENSSL_version_major: () => 4 }, "is not of OpenSSL 3"],
    ["that gives no context of its own", { OSSL_LIB_CTX_new: () => 0 }, "OpenSSL gives no library context"],
    ["without AES", { EVP_CIPHER_fetch: () => 0 }, "No active provider of OpenSSL 3"],
    ["without HKDF", { EVP_KDF_fetch: () => 0 }, "has AES-256-GCM and HKDF"],
    ["that gives no context for HKDF", { EVP_KDF_CTX_new: () => 0 }, "OpenSSL gives no context for HKDF"],
  ] as [string, Changes, string][])("%s", (_, changes, says) => {
    expect(refusal(changes)).toContain(says);
  });

  test("whose configuration it can't use, and which is named", () => {
    expect(refusal({ OSSL_LIB_CTX_load_config: () => 0 })).toMatch(/can't use its configuration, .*openssl\.cnf$/);
  });

  test("that does not load", async () => {
    const foreign = (await foreignFunctions())!;
    const open = (): unknown => openLibrary({ foreign, library: "/nowhere/libcrypto.so.3" });
    expect(open).toThrow(OpensslError);
    expect(open).toThrow("/nowhere/libcrypto.so.3 does not load");
  });

  test("leaves no error in the library's queue", () => {
    const { functions, counts } = opensslFunctions({ EVP_KDF_fetch: () => 0 });
    expect(() => libraryOf(functions)).toThrow(OpensslError);
    expect(counts.ERR_clear_error).toBe(1);
  });
});

describe("a file is trusted", () => {
  type Owned = Readonly<Record<string, { readonly uid: number; readonly mode: number }>>;
  const judged = (places: Owned, user: number) =>
    whoElseMayWrite("/opt/lib/libcrypto.so.3", (path) => places[path]!, user);
  const root = { uid: 0, mode: 0o755 };
  const places: Owned = {
    "/": root,
    "/opt": root,
    "/opt/lib": root,
    "/opt/lib/libcrypto.so.3": { uid: 0, mode: 0o644 },
  };

  test("when it and every folder above are root's, or this user's, and no one else may write", () => {
    expect(judged(places, 1000)).toBeUndefined();
    expect(judged({ ...places, "/opt/lib": { uid: 1000, mode: 0o755 } }, 1000)).toBeUndefined();
  });

  test.each(Object.keys(places))("unless %s belongs to another user, or others may write to it", (path) => {
    expect(judged({ ...places, [path]: { uid: 1001, mode: 0o755 } }, 1000)).toBe(`${path} belongs to user 1001`);
    expect(judged({ ...places, [path]: { uid: 1001, mode: 0o755 } }, 0)).toBe(`${path} belongs to user 1001`);
    expect(judged({ ...places, [path]: { uid: 0, mode: 0o775 } }, 1000)).toBe(`others may write to ${path}`);
    expect(judged({ ...places, [path]: { uid: 0, mode: 0o757 } }, 1000)).toBe(`others may write to ${path}`);
  });

  test("the second place is looked at when there is nothing in the first, and its error has a name", () => {
    const found = findLibrary() as { path: string };
    expect(findLibrary(["/nowhere/libcrypto.so.3", found.path])).toEqual(found);
    expect(findLibrary([])).toEqual({ reason: "There is no libcrypto 3 in the system's library folders" });
    expect(new OpensslError("x").name).toBe("OpensslError");
  });
});
