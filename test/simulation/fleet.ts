export async function reportFleet(_options: { edges: number; keys: number; svg: string | undefined }): Promise<void> {
  throw new Error("not yet");
}
