/** The functions of libcrypto 3 that are called, and their C types: addresses and `size_t` as 64-bit integers. */
import type { ForeignFunctions } from "../../../base/system/libc.ts";

const BY_ADDRESS = {
  OPENSSL_version_major: { parameters: [], result: "u32" },
  OpenSSL_version: { parameters: ["i32"], result: "u64" },
  OPENSSL_info: { parameters: ["i32"], result: "u64" },
  OSSL_LIB_CTX_new: { parameters: [], result: "u64" },
  OSSL_LIB_CTX_free: { parameters: ["u64"], result: "i32" },
  OSSL_LIB_CTX_load_config: { parameters: ["u64", "bytes"], result: "i32" },
  OSSL_PROVIDER_set_default_search_path: { parameters: ["u64", "u64"], result: "i32" },
  OSSL_PROVIDER_get0_name: { parameters: ["u64"], result: "u64" },
  EVP_set_default_properties: { parameters: ["u64", "bytes"], result: "i32" },
  EVP_CIPHER_fetch: { parameters: ["u64", "bytes", "u64"], result: "u64" },
  EVP_CIPHER_get0_provider: { parameters: ["u64"], result: "u64" },
  EVP_CIPHER_free: { parameters: ["u64"], result: "i32" },
  EVP_KDF_fetch: { parameters: ["u64", "bytes", "u64"], result: "u64" },
  EVP_KDF_free: { parameters: ["u64"], result: "i32" },
  EVP_KDF_CTX_new: { parameters: ["u64"], result: "u64" },
  EVP_KDF_CTX_reset: { parameters: ["u64"], result: "i32" },
  EVP_KDF_CTX_free: { parameters: ["u64"], result: "i32" },
  EVP_KDF_derive: { parameters: ["u64", "u64", "u64", "u64"], result: "i32" },
  RAND_bytes_ex: { parameters: ["u64", "u64", "u64", "u32"], result: "i32" },
  RAND_get0_public: { parameters: ["u64"], result: "u64" },
  EVP_RAND_reseed: { parameters: ["u64", "i32", "u64", "u64", "u64", "u64"], result: "i32" },
  ERR_clear_error: { parameters: [], result: "i32" },
  EVP_CIPHER_CTX_new: { parameters: [], result: "u64" },
  EVP_CIPHER_CTX_free: { parameters: ["u64"], result: "i32" },
  EVP_CIPHER_CTX_get_params: { parameters: ["u64", "u64"], result: "i32" },
  EVP_EncryptInit_ex2: { parameters: ["u64", "u64", "u64", "u64", "u64"], result: "i32" },
  EVP_EncryptUpdate: { parameters: ["u64", "u64", "u64", "u64", "i32"], result: "i32" },
  EVP_EncryptFinal_ex: { parameters: ["u64", "u64", "u64"], result: "i32" },
  EVP_DecryptInit_ex2: { parameters: ["u64", "u64", "u64", "u64", "u64"], result: "i32" },
  EVP_DecryptUpdate: { parameters: ["u64", "u64", "u64", "u64", "i32"], result: "i32" },
  EVP_DecryptFinal_ex: { parameters: ["u64", "u64", "u64"], result: "i32" },
} as const;

/** The same with a buffer of the runtime's as input: a context, or a plaintext that the caller has. */
const FROM_BYTES = {
  EVP_EncryptUpdate: { parameters: ["u64", "u64", "u64", "bytes", "i32"], result: "i32" },
  EVP_DecryptUpdate: { parameters: ["u64", "u64", "u64", "bytes", "i32"], result: "i32" },
} as const;

/** The same with a buffer of the runtime's as output: a plaintext for the caller. */
const TO_BYTES = {
  EVP_DecryptUpdate: { parameters: ["u64", "bytes", "u64", "u64", "i32"], result: "i32" },
} as const;

/** @throws when the library can't be loaded, or lacks a function. */
export function openFunctions(foreign: ForeignFunctions, library: string) {
  return {
    byAddress: foreign.open(library, BY_ADDRESS),
    fromBytes: foreign.open(library, FROM_BYTES),
    toBytes: foreign.open(library, TO_BYTES),
  };
}

export type OpensslFunctions = ReturnType<typeof openFunctions>;

/** `OpenSSL_version(OPENSSL_VERSION)` and `OPENSSL_info`'s questions. */
export const OPENSSL_VERSION = 0;
export const INFO_CONFIG_DIR = 1001;
export const INFO_MODULES_DIR = 1003;
