/** Bar charts as SVG, readable on light and dark pages. */
import { formatNumber } from "../harness/report.ts";

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Where the goal stands, as a line across the bar. */
  readonly goal: number;
  readonly holds: boolean;
}

/** Of a letter of 12 pixels, sans-serif, rather more than less. */
const LETTER_WIDTH = 6.4;
const BAR_WIDTH = 380;
const BAR_HEIGHT = 18;
const ROW_HEIGHT = 28;
const TOP = 44;

export function barChart(title: string, bars: readonly Bar[], unit: string): string {
  const largest = Math.max(...bars.flatMap(({ value, goal }) => [value, goal])) * 1.05;
  const labelWidth = Math.ceil(Math.max(...bars.map(({ label }) => label.length)) * LETTER_WIDTH) + 16;
  const width = labelWidth + BAR_WIDTH + 90;
  const height = TOP + bars.length * ROW_HEIGHT + 12;
  const scale = (value: number): string => ((value / largest) * BAR_WIDTH).toFixed(1);
  const rows = bars.map(({ label, value, goal, holds }, index) => {
    const y = TOP + index * ROW_HEIGHT;
    const goalX = (labelWidth + Number(scale(goal))).toFixed(1);
    return [
      `<text x="${labelWidth - 8}" y="${y + 13}" text-anchor="end">${escapeXml(label)}</text>`,
      `<rect x="${labelWidth}" y="${y}" width="${scale(value)}" height="${BAR_HEIGHT}" fill="${holds ? "#2f855a" : "#c05621"}"/>`,
      `<line x1="${goalX}" y1="${y - 4}" x2="${goalX}" y2="${y + BAR_HEIGHT + 4}" stroke="#888" stroke-width="2"/>`,
      `<text x="${labelWidth + Number(scale(Math.max(value, goal))) + 6}" y="${y + 13}">${formatNumber(value)}${unit}</text>`,
    ].join("");
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="12" fill="#666" role="img" aria-label="${escapeXml(title)}">
<text x="8" y="20" font-size="14" font-weight="bold">${escapeXml(title)}</text>
${rows.join("\n")}
</svg>
`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
