#!/usr/bin/env node
// solc for forge and halmos, from npm's build of it: takes the two calls that they make, and no other.
"use strict";
const solc = require(process.env.SKYOPS_SOLC);

if (process.argv.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(require("fs").readFileSync(0, "utf8")));
} else {
  process.stderr.write("solc.js: only --version and --standard-json\n");
  process.exit(2);
}
