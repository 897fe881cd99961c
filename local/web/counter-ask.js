// What every part of the counter uses: it asks the API, says in a line what became of it, and asks people in dialogs.

import { T, beginText } from "./counter-words.js"
import { h, yuan } from "./dom.js"

const TIMEOUT_MS = 20000
export const TOKEN = "counter.token"

let signIn = () => {}

// Who is asked for a token when it is missing or not good any more; he is told why.
export function whenSignedOut(done) {
  signIn = done
}

export class Problem extends Error {
  constructor(kind, problem = {}, status = 0, wait = 0) {
    super(kind)
    Object.assign(this, { kind, problem, status, known: status >= 400 && status < 500 })
    this.text = [wording(kind, problem), ...particulars(problem), wait ? T.wait(wait) : ""]
      .filter(Boolean)
      .join(T.comma)
  }
}

// What a person typed cannot be sent.
export const wrong = (text) => Object.assign(new Problem("invalid", {}, 422), { text })

function wording(kind, problem) {
  if (kind === "invalid" && problem.field !== "body.code") {
    return `${T.notValid}${T.colon}${problem.detail ?? problem.title}`
  }
  return T.problems[kind] ?? T.problems.broken
}

// How much is free or held of what was asked for, and how much may be refunded.
function particulars({ free = {}, held = {}, refundable_fen }) {
  const inPieces =
    Object.entries(free).length > 0 && Object.entries(free).every(([name, n]) => !name.includes("T") && n)
  return [
    ...Object.entries(free).map(([name, n]) => T.freeOf(beginText(name), n)),
    ...Object.entries(held).map(([name, n]) => T.heldOf(beginText(name), n)),
    inPieces && T.inPieces,
    refundable_fen !== undefined && `${T.amountMore} ${yuan(refundable_fen)}`,
  ]
}

// The JSON of an answer below /merchant. Throws a Problem.
export async function api(method, path, body, headers) {
  const reply = await answer(method, path, body, headers)
  return reply.json().catch(() => ({}))
}

// What an answer below /merchant is as CSV goes into a file of the browser's. Throws a Problem.
export async function download(path, name) {
  const reply = await answer("GET", path, undefined, { Accept: "text/csv" })
  const href = URL.createObjectURL(await reply.blob().catch(() => Promise.reject(new Problem("offline"))))
  h("a", { href, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(href), TIMEOUT_MS)
}

async function answer(method, path, body, headers = {}) {
  let reply
  try {
    reply = await fetch(`api/merchant/${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}`,
        ...(body ? { "Content-Type": "application/json" } : {}),
        ...headers,
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch {
    throw new Problem("offline")
  }
  if (reply.ok) return reply
  const told = await reply.json().catch(() => ({}))
  const kind = told.type?.replace("urn:wxpay:", "")
  if (reply.status === 401 || (reply.status === 403 && !kind)) throw new Problem("signin", told, reply.status)
  throw new Problem(kind ?? "broken", told, reply.status, Number(reply.headers.get("Retry-After")))
}

// --- the line that says what became of it

export const said = h("p", { className: "said", role: "status", tabIndex: -1 })
export const note = (text, kind = "") => {
  said.textContent = text
  said.className = `said ${kind}`
}
export const attempt = (work) => async (event) => {
  event?.preventDefault?.()
  note("")
  try {
    await work(event)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.kind === "signin" || error.kind === "staff-only") return signIn(error.text)
    note(error.text, "bad")
  }
}

// --- dialogs

// A form in a dialog. `send` throws a Problem, or ends it; `fields` are locked while the outcome is not known.
export function dialog(title, fields, action, send) {
  const why = h("p", { className: "said bad", role: "status" })
  const button = h("button", { className: "primary", textContent: action })
  const submit = async (event) => {
    event.preventDefault()
    why.textContent = ""
    button.disabled = true
    try {
      await send()
      box.close()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      if (error.kind === "signin") {
        box.close()
        return signIn(error.text)
      }
      why.textContent = error.text
      inputs.disabled = !error.known
      button.textContent = error.known ? action : T.again
    } finally {
      button.disabled = false
    }
  }
  const inputs = h("fieldset", {}, ...fields)
  const cancel = h("button", { type: "button", textContent: T.cancel, onclick: () => box.close() })
  const buttons = h("div", { className: "line end" }, cancel, button)
  const form = h("form", { onsubmit: submit }, h("h2", { textContent: title }), inputs, why, buttons)
  const closed = () => {
    box.remove()
    if (document.activeElement === document.body) said.focus() // what opened it was drawn anew
  }
  const box = h("dialog", { onclose: closed, aria: { label: title } }, form)
  document.body.append(box)
  box.showModal()
  return box
}

export const labelled = (text, input) => h("label", { className: "field" }, h("span", { textContent: text }), input)

// Fen of what a person typed as yuan; null when it is no sum. No floating point.
export function fenOf(text) {
  const sum = text.trim().replace(/^[¥￥]\s*/, "")
  const found = sum.match(/^(\d{1,8})(?:[.。](\d{1,2}))?$/)
  return found ? Number(found[1]) * 100 + Number((found[2] ?? "").padEnd(2, "0")) : null
}
