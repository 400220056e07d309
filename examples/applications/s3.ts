/** Objects in S3, encrypted before they leave: whole, as a stream, and parts of them. */
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { openSealedFile, openStream, sealStream } from "crypto-edge/files";
import { edge } from "./edge.ts";

const s3 = new S3Client({
  region: "us-east-1",
  endpoint: process.env.S3_ENDPOINT ?? "http://127.0.0.1:9000",
  forcePathStyle: true,
  credentials: { accessKeyId: "example", secretAccessKey: "example" },
});
const Bucket = "documents";

export async function put(Key: string, content: Blob): Promise<void> {
  const sealed = content.stream().pipeThrough(sealStream(edge, { tenant: "tenant-a", service: "billing" }));
  // S3 wants to know the length: `Upload` of @aws-sdk/lib-storage takes the stream itself, in parts.
  await s3.send(new PutObjectCommand({ Bucket, Key, Body: new Uint8Array(await new Response(sealed).arrayBuffer()) }));
}

export async function get(Key: string): Promise<ReadableStream<Uint8Array>> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
  return Body!.transformToWebStream().pipeThrough(openStream(edge));
}

/** Bytes `start` to before `end` of the content: of the object, only the chunks that they are in are fetched. */
export async function getRange(Key: string, start: number, end: number): Promise<Uint8Array> {
  const { ContentLength } = await s3.send(new HeadObjectCommand({ Bucket, Key }));
  const file = await openSealedFile(edge, {
    size: ContentLength!,
    async read(from, to) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, Range: `bytes=${from}-${to - 1}` }));
      return Body!.transformToByteArray();
    },
  });
  return file.read(start, end);
}

const content = new Uint8Array(1_000_000).map((_, index) => index % 251);
await put("report.pdf", new Blob([content]));
const whole = new Uint8Array(await new Response(await get("report.pdf")).arrayBuffer());
const part = await getRange("report.pdf", 700_000, 700_005);
console.log(
  JSON.stringify({
    same: Buffer.compare(whole, content) === 0,
    part: [...part],
    expected: [...content.subarray(700_000, 700_005)],
  }),
);
