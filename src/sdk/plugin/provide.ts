/** Makes `crypto-edge/plugin` importable by plugins, wherever they lie. Imported once, by the program, before plugins are loaded. */
import { provideVirtualModule } from "../../edge/plugin-host/virtual-module.ts";

provideVirtualModule(async () => {
  const [everything, { SCHEMAS }, { BROKER }, { KEPT_COPIES }, { droppable }] = await Promise.all([
    import("./index.ts"),
    import("./schemas.ts"),
    import("./broker.ts"),
    import("./kept-copies.ts"),
    import("./droppable.ts"),
    // By itself: once bundled with the index, what a source calls of it would keep the schemas.
    import("./stored-versions.ts"),
  ]);
  return { ...everything, ...droppable(SCHEMAS), ...droppable(BROKER), ...droppable(KEPT_COPIES) };
});
