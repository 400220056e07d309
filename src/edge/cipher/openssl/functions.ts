/** The functions of libcrypto 3 that are called, and their C types. */
import type { ForeignFunctions } from "../../../base/system/libc.ts";

const FUNCTIONS = {
  OPENSSL_init_crypto: { parameters: ["u64", "address"], result: "i32" },
  OPENSSL_version_major: { parameters: [], result: "u32" },
  OpenSSL_version: { parameters: ["i32"], result: "u64" },
  OPENSSL_info: { parameters: ["i32"], result: "u64" },
  OSSL_LIB_CTX_new: { parameters: [], result: "u64" },
  OSSL_LIB_CTX_free: { parameters: ["address"], result: "void" },
  OSSL_LIB_CTX_load_config: { parameters: ["address", "bytes"], result: "i32" },
  OSSL_PROVIDER_set_default_search_path: { parameters: ["address", "address"], result: "i32" },
  OSSL_PROVIDER_get0_name: { parameters: ["address"], result: "u64" },
  EVP_set_default_properties: { parameters: ["address", "bytes"], result: "i32" },
  EVP_CIPHER_fetch: { parameters: ["address", "bytes", "address"], result: "u64" },
  EVP_CIPHER_get0_provider: { parameters: ["address"], result: "u64" },
  EVP_CIPHER_free: { parameters: ["address"], result: "void" },
  EVP_KDF_fetch: { parameters: ["address", "bytes", "address"], result: "u64" },
  EVP_KDF_free: { parameters: ["address"], result: "void" },
  EVP_KDF_CTX_new: { parameters: ["address"], result: "u64" },
  EVP_KDF_CTX_reset: { parameters: ["address"], result: "void" },
  EVP_KDF_CTX_free: { parameters: ["address"], result: "void" },
  EVP_KDF_derive: { parameters: ["address", "address", "u64", "address"], result: "i32" },
  RAND_bytes_ex: { parameters: ["address", "address", "u64", "u32"], result: "i32" },
  RAND_get0_public: { parameters: ["address"], result: "u64" },
  EVP_RAND_reseed: { parameters: ["address", "i32", "address", "u64", "address", "u64"], result: "i32" },
  ERR_clear_error: { parameters: [], result: "void" },
  EVP_CIPHER_CTX_new: { parameters: [], result: "u64" },
  EVP_CIPHER_CTX_free: { parameters: ["address"], result: "void" },
  EVP_CIPHER_CTX_set_params: { parameters: ["address", "address"], result: "i32" },
  EVP_CIPHER_CTX_get_params: { parameters: ["address", "address"], result: "i32" },
  EVP_EncryptInit_ex2: { parameters: ["address", "address", "address", "address", "address"], result: "i32" },
  EVP_EncryptUpdate: { parameters: ["address", "address", "address", "address", "i32"], result: "i32" },
  EVP_EncryptFinal_ex: { parameters: ["address", "address", "address"], result: "i32" },
  EVP_DecryptInit_ex2: { parameters: ["address", "address", "address", "address", "address"], result: "i32" },
  EVP_DecryptUpdate: { parameters: ["address", "address", "address", "address", "i32"], result: "i32" },
  EVP_DecryptFinal_ex: { parameters: ["address", "address", "address"], result: "i32" },
  // Of and into buffers of the runtime's: what is authenticated or encrypted, and what was decrypted.
  encryptBytes: {
    symbol: "EVP_EncryptUpdate",
    parameters: ["address", "address", "address", "bytes", "i32"],
    result: "i32",
  },
  decryptBytes: {
    symbol: "EVP_DecryptUpdate",
    parameters: ["address", "address", "address", "bytes", "i32"],
    result: "i32",
  },
  decryptToBytes: {
    symbol: "EVP_DecryptUpdate",
    parameters: ["address", "bytes", "address", "address", "i32"],
    result: "i32",
  },
} as const;

/** @throws when the library can't be loaded, or lacks a function. */
export function openFunctions(foreign: ForeignFunctions, library: string) {
  return foreign.open(library, FUNCTIONS);
}

export type OpensslFunctions = ReturnType<typeof openFunctions>;

/** `OpenSSL_version(OPENSSL_VERSION)` and `OPENSSL_info`'s questions. */
export const OPENSSL_VERSION = 0;
/** `OPENSSL_init_crypto`'s: the default context reads no configuration. */
export const INIT_NO_LOAD_CONFIG = 0x80;
export const INFO_CONFIG_DIR = 1001;
export const INFO_MODULES_DIR = 1003;
