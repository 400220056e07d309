/** The native door's paths and methods alone: for who asks whether doors fit together, and serves nothing. */
import type { HttpDoor } from "../door.ts";
import { GET_ROUTES } from "./get-routes.ts";
import { ROUTES } from "./routes.ts";

export function declareNativeDoor({ administration }: { readonly administration: boolean }): HttpDoor {
  const never = (): never => {
    throw new Error("this door serves nothing");
  };
  const gets = GET_ROUTES.filter((route) => administration || !route.administration);
  return {
    name: "native",
    transport: "http",
    routes: [
      ...ROUTES.map(({ path }) => ({ methods: ["POST"], path, bodyBytesMax: 0, handle: never })),
      ...gets.map(({ path }) => ({ methods: ["GET"], path, bodyBytesMax: 0, handle: never })),
    ],
    refuse: never,
  };
}
