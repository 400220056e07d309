/** HTML as text, escaped unless it was made here: a name that a tenant chose can be no markup. */

const MADE_HERE: unique symbol = Symbol("html");

export interface Html {
  readonly [MADE_HERE]: true;
  readonly text: string;
}

type Part = Html | string | number | undefined | false | readonly Part[];

/**
 * @example
 * html`<td>${tenant}</td>`
 */
export function html(literals: TemplateStringsArray, ...parts: readonly Part[]): Html {
  let text = literals[0]!;
  parts.forEach((part, index) => {
    text += textOf(part) + literals[index + 1]!;
  });
  return { [MADE_HERE]: true, text };
}

function textOf(part: Part): string {
  if (part === undefined || part === false) return "";
  if (typeof part === "number") return String(part);
  if (typeof part === "string") return escapeHtml(part);
  if (Array.isArray(part)) return part.map(textOf).join("");
  return (part as Html).text;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character]!);
}

/** What a page may do: load nothing but its own files, run no script in its text, be framed by nobody. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-store",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/**
 * Whether a request that changes something was sent by a page of this server's own, or by no browser. A browser tells by `Sec-Fetch-Site`
 * (https://www.w3.org/TR/fetch-metadata/), an older one by `Origin`.
 */
export function isOwnRequest(header: (name: string) => string | undefined): boolean {
  const site = header("sec-fetch-site");
  if (site !== undefined) return site === "same-origin" || site === "none";
  const origin = header("origin");
  if (origin === undefined) return true;
  try {
    return new URL(origin).host === header("host");
  } catch {
    return false;
  }
}

export interface PageOptions {
  readonly title: string;
  readonly body: Html;
  /** Paths of the page's own files. */
  readonly style: string;
  readonly script?: string;
}

export function page({ title, body, style, script }: PageOptions): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="stylesheet" href="${style}">
${script === undefined ? undefined : html`<script src="${script}" defer></script>`}
</head>
<body>${body}</body>
</html>
`.text;
}
