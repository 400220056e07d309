/** Bytes of a service key (L3), wherever it comes from and wherever it goes. */
export const SERVICE_KEY_BYTES = 32;
