import type { FleetSeries } from "./fleet.ts";

const WIDTH = 960;
const HEIGHT = 420;
const LEFT = 70;
const RIGHT = 20;
const TOP = 56;
const BOTTOM = 44;
const LABEL =
  "Requests per second at the Core over half an hour: crypto-edge stays below some thousands but for the start and the " +
  "return of the Core; with fixed-tick expiry every key comes back at once, every five minutes";
/** A point is the most of so many seconds: lines of every second would fill areas that hide one another. */
const POINT_SECONDS = 10;
const COLOURS = ["#0b6e4f", "#c1440e"];

/** Requests per second at the Core over time, on a logarithmic scale, as an SVG. */
export function plotFleet(series: readonly FleetSeries[], goneSecond: number, backSecond: number): string {
  const seconds = series[0]!.requests.length - 1;
  const highest = Math.max(...series.map(({ requests }) => Math.max(...requests)));
  const decades = Math.ceil(Math.log10(Math.max(10, highest)));
  const x = (second: number): number => LEFT + (second / seconds) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number =>
    HEIGHT - BOTTOM - (Math.log10(Math.max(1, value)) / decades) * (HEIGHT - TOP - BOTTOM);

  const grid = Array.from({ length: decades + 1 }, (_, decade) => {
    const at = y(10 ** decade).toFixed(1);
    return (
      `<line x1="${LEFT}" y1="${at}" x2="${WIDTH - RIGHT}" y2="${at}" stroke="#ddd"/>` +
      `<text x="${LEFT - 8}" y="${Number(at) + 4}" text-anchor="end">${(10 ** decade).toLocaleString("en-US")}</text>`
    );
  });
  const minutes = Array.from({ length: Math.floor(seconds / 300) + 1 }, (_, index) => index * 5).map(
    (minute) =>
      `<text x="${x(minute * 60).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${minute}</text>`,
  );
  const lines = series.map(({ requests }, index) => {
    const points = Array.from({ length: Math.ceil(seconds / POINT_SECONDS) }, (_, index) => {
      const from = index * POINT_SECONDS;
      const most = Math.max(...requests.subarray(from, Math.min(from + POINT_SECONDS, seconds)));
      return `${x(from).toFixed(1)},${y(most).toFixed(1)}`;
    });
    return `<polyline fill="none" stroke="${COLOURS[index]}" stroke-width="1.2" points="${points.join(" ")}"/>`;
  });
  const legend = series.map(
    ({ name }, index) =>
      `<rect x="${LEFT + index * 180}" y="30" width="14" height="4" fill="${COLOURS[index]}"/>` +
      `<text x="${LEFT + 20 + index * 180}" y="36">${name}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#222" role="img" aria-label="${LABEL}">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${LEFT}" y="20" font-size="14">Requests per second at the Core, the most of each ten seconds (logarithmic)</text>
${legend.join("\n")}
<rect x="${x(goneSecond).toFixed(1)}" y="${TOP}" width="${(x(backSecond) - x(goneSecond)).toFixed(1)}" height="${HEIGHT - TOP - BOTTOM}" fill="#f2f2f2"/>
<text x="${x((goneSecond + backSecond) / 2).toFixed(1)}" y="${TOP - 6}" text-anchor="middle" fill="#777">the Core is gone</text>
${grid.join("\n")}
${minutes.join("\n")}
<text x="${((LEFT + WIDTH - RIGHT) / 2).toFixed(1)}" y="${HEIGHT - 8}" text-anchor="middle">minutes</text>
${lines.join("\n")}
</svg>
`;
}
