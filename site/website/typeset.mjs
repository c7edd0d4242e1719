// Typesets formulas: reads [formula, display, output] as JSON, a line each, and answers {html} or {error}.
import readline from "node:readline";
import katex from "../node_modules/katex/dist/katex.mjs";

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [formula, displayMode, output] = JSON.parse(line);
  let answer;
  try {
    answer = { html: katex.renderToString(formula, { displayMode, output, strict: "error" }) };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
