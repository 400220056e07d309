/** The native door's paths and methods alone: for who asks whether doors fit together, and serves nothing. */
import type { HttpDoor } from "../door.ts";
import { LOOKS, ROUTES } from "./routes.ts";

export function declareNativeDoor({ administration }: { readonly administration: boolean }): HttpDoor {
  const never = (): never => {
    throw new Error("this door serves nothing");
  };
  const looks = LOOKS.filter((look) => administration || !look.administration);
  return {
    name: "native",
    transport: "http",
    routes: [
      ...ROUTES.map(({ path }) => ({ methods: ["POST"], path, bodyBytesMax: 0, handle: never })),
      ...looks.map(({ path }) => ({ methods: ["GET"], path, bodyBytesMax: 0, handle: never })),
    ],
    refuse: never,
  };
}
