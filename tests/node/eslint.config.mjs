// What is wrong in JavaScript here, and what each place has of its own. How it looks is prettier's (package.json).
import js from "@eslint/js"
import globals from "globals"

const MINI_PROGRAM = ["wx", "App", "Page", "getApp", "getCurrentPages", "console", "setTimeout", "clearTimeout"]

// Words that a browser has as globals, and that are nearly always a variable that somebody forgot to declare.
const FORGOTTEN = [
  "close",
  "event",
  "find",
  "length",
  "name",
  "open",
  "origin",
  "parent",
  "self",
  "status",
  "stop",
  "top",
]

const rules = {
  "array-callback-return": "error",
  curly: ["error", "multi-line"],
  eqeqeq: "error",
  "no-else-return": "error",
  "no-implicit-globals": "error",
  "no-restricted-globals": ["error", ...FORGOTTEN],
  "no-self-compare": "error",
  "no-sequences": ["error", { allowInParentheses: false }],
  "no-shadow": "error",
  "no-template-curly-in-string": "error",
  "no-unmodified-loop-condition": "error",
  "no-unreachable-loop": "error",
  "no-unused-vars": ["error", { ignoreRestSiblings: true }],
  "no-useless-return": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "one-var": ["error", "never"],
  "prefer-arrow-callback": "error",
  "prefer-const": "error",
  "prefer-template": "error",
}

export default [
  { ignores: ["miniprogram/vendor/"] },
  js.configs.recommended,
  { rules },
  {
    // Old phones do not know newer syntax than that of 2018; so `catch (error)` cannot leave its error out.
    files: ["miniprogram/**/*.js"],
    languageOptions: {
      ecmaVersion: 2018,
      sourceType: "commonjs",
      globals: Object.fromEntries(MINI_PROGRAM.map((name) => [name, "readonly"])),
    },
    rules: { "no-unused-vars": ["error", { caughtErrors: "none", ignoreRestSiblings: true }] },
  },
  { files: ["local/web/**/*.js"], languageOptions: { sourceType: "module", globals: globals.browser } },
  {
    files: ["local/web/docs/*.js"],
    languageOptions: { sourceType: "script", globals: { ...globals.browser, SwaggerUIBundle: "readonly" } },
  },
  { files: ["tests/client/*.js"], languageOptions: { sourceType: "commonjs", globals: globals.node } },
  { files: ["tests/node/*.mjs"], languageOptions: { sourceType: "module", globals: globals.node } },
]
