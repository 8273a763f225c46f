// Verifies deliveries with the official library: each has to be as the test expects it.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

let wrong = 0;
for (const { name, secret, headers, body, ok } of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  let said = "";
  try {
    new Webhook(secret).verify(body, headers);
  } catch (err) {
    said = String(err);
  }
  if ((said === "") !== ok) {
    console.error(`${name}: ${said || "verified"}`);
    wrong++;
  }
}
process.exit(wrong === 0 ? 0 : 1);
