// The live trace: mountTrace(element) shows the order that the page names by the CustomEvent "order" (detail: order_sn),
// its life so far and then each step as it happens; and the switchboard of WeChat's faults.
import { h, yuan } from "./dom.js"
import { lang } from "./lang.js"
import { name, picture } from "./trace-picture.js"
import { say } from "./trace-words.js"

const HOP_MS = 120
const HURRY_AT = 5
const OLD_MS = 4000
const TELL_EVERY_MS = 2000
const STAFF = ["api.redeem", "api.refund"]
const GROUPS = {
  callback: ["callback_lost", "callback_late", "callback_ten", "callback_probe", "callback_wrong_amount"],
  prepay: ["prepay_500", "prepay_reply_lost", "paid_first", "query_timeout"],
  cashier: ["coupon", "paid_after_close"],
  send: ["message_refused", "message_busy", "message_no_page", "token_invalidated"],
  refund: ["refund_not_enough", "refund_reply_lost", "refund_abnormal"],
}
const calm = matchMedia("(prefers-reduced-motion: reduce)")

const clock = (at) => new Date(at).toLocaleTimeString(lang === "zh" ? "zh-CN" : "en-GB")

function took(ms) {
  if (Math.abs(ms) < 10_000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${(ms / 1000).toFixed(3)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round(ms / 1000) % 60} s`
}

/** Whether the template's filter lets an event through to a function, `payment.*` all that begin so. */
const isSent = ({ takes }, event) =>
  takes.some((type) => (type.endsWith("*") ? event.startsWith(type.slice(0, -1)) : event === type))

/** The lines of the picture from part to part. */
const along = (...parts) => parts.slice(1).map((part, index) => [parts[index], part])

/** Through which lines of the picture a step went, one after the other. */
function hops({ happened, part, event, facts }, functions) {
  if (happened.startsWith("api.")) return along(STAFF.includes(happened) ? "staff" : "phone", "gateway", part)
  if (happened === "call.callback" && facts.fault === "drop") return along("wechat", "wechat")
  if (happened === "call.callback") return along("wechat", "gateway", "wx_callback")
  if (happened.startsWith("call.")) return along(facts.caller, "wechat")
  if (part === "wechat") return along("phone", "wechat")
  const consumes = functions.some((one) => one.name === part && one.takes.length)
  const way = consumes ? along(`q_${part}`, part, "table") : along(part, "table")
  const sent = event ? functions.filter((one) => isSent(one, event)) : []
  if (!sent.length) return way
  const publisher = functions.find((one) => one.stream)?.name
  return [...way, ...along("table", "stream", publisher, "topic"), ...sent.map((one) => ["topic", `q_${one.name}`])]
}

/** Whether it went as nobody wants it to. */
function bad({ happened, state, facts }) {
  if (happened.startsWith("call.") || happened.startsWith("api.")) return facts.ms !== null && refused(happened, facts)
  if (["ABNORMAL", "REFUSED", "MISPAID"].includes(state) || happened === "case.opened") return true
  return ["failed", "unknown", "waiting"].includes(facts.delivery)
}

function refused(happened, { status, fault, code }) {
  if (happened === "call.callback") return ![200, 204].includes(status)
  if (status === 0 || status >= 400) return true
  return happened.startsWith("call.") && (fault === "drop" || /^-?[1-9]/.test(code))
}

// What an order holds of the stock, as the server says it: nights, seats, or nothing.
const held = (what) => (what === "nothing" ? say("holdsNothing") : `${say("holds")} ${what}`)

/** What a step says besides its name. */
function outcome({ happened, facts, by }) {
  const said = []
  if (facts.fen) said.push(yuan(facts.fen))
  if (facts.holds) said.push(held(facts.holds))
  if (facts.gives_up) said.push(`${say("givesUp")} ${facts.gives_up}`)
  const delivery = facts.delivery === "failed" ? "failedMessage" : facts.delivery
  if (facts.template) said.push(`${say(facts.template)}: ${say(delivery)}`)
  if (facts.times > 1) said.push(say("times", facts.times))
  if (happened.startsWith("call.") || happened.startsWith("api.")) {
    const cashier = happened === "call.cashier"
    const callback = happened === "call.callback"
    if (callback) said.push(say(facts.detail.startsWith("REFUND") ? "ofRefund" : "ofPayment"))
    if (facts.ms === null) said.push(say("running"))
    else if (callback && facts.fault === "drop") said.push(say("lostAway"))
    else if (facts.fault === "drop") said.push(say("lostAnswer"))
    else if (cashier && /cancel/.test(facts.code)) said.push(say("cancel"))
    else if (cashier && facts.code) said.push(facts.code)
    else if (!facts.status) said.push(say("silent"))
    else if (callback || facts.status >= 400) said.push(say("answered", facts.status))
    if (!cashier && facts.code) said.push(facts.code)
    if (facts.answer) said.push(facts.answer)
    if (facts.ms !== null && !cashier && !(callback && facts.fault === "drop")) said.push(took(facts.ms))
  }
  if (facts.why) said.push(facts.why)
  if (facts.detail && happened === "case.opened") said.push(`${facts.case}${facts.detail ? `: ${facts.detail}` : ""}`)
  if (facts.reason) said.push(facts.reason)
  if (facts.resolution) said.push(`${facts.resolution}, ${facts.reference}`)
  if (["late", "second", "guest"].includes(facts.origin)) said.push(say(facts.origin))
  if (by) said.push(by)
  return said.join(" · ")
}

/** A step's line in the timeline. */
function stepRow(step, wrong) {
  const { happened, facts, state, event } = step
  const at = happened.startsWith("call.") && facts.caller !== "wechat" ? facts.caller : step.part
  const span = (className, text) => h("span", { className }, text)
  const row = h(
    "tr",
    { className: `${happened.split(".")[0]}${wrong ? " bad" : ""}` },
    h("td", { className: "ms", title: step.timed ? clock(step.at) : "" }, step.timed ? took(step.ms) : ""),
    h("td", {}, span("what", say(happened)), span("more", outcome(step)), span("where", at)),
    h("td", { className: "states" }, state ? span("state", state) : null, event ? span("event", event) : null),
  )
  row.dataset.ms = step.ms
  return row
}

/** Draws the trace into `element` and lets it follow the page's orders. */
export function mountTrace(element) {
  const status = h("p", { className: "trace-status soft" }, say("rest"))
  const told = h("p", { className: "visually-hidden", role: "status", aria: { live: "polite" } })
  const frame = h("div", { className: "trace-frame" })
  const titles = ["when", "step", "state"].map((key) => h("th", { scope: "col" }, say(key)))
  const body = h("tbody")
  const timeline = { className: "trace-steps", aria: { label: say("timeline") }, hidden: true }
  const table = h("table", timeline, h("thead", {}, h("tr", {}, titles)), body)
  const region = { className: "trace-scroll", tabIndex: 0, role: "region", aria: { label: say("timeline") } }
  const scroller = h("div", region, table)
  element.classList.add("trace")
  element.append(h("header", {}, h("h2", {}, say("title")), status), told, frame, switchboard(element), scroller)

  const drawn = picture(frame)
  let functions = []
  const learned = fetch("/live/functions")
    .then((reply) => reply.json())
    .then((all) => drawn.show((functions = all)))
    .catch(() => {}) // the steps are shown without a picture
  const rows = new Map()
  let source
  let where = ""
  let waiting = []
  let playing = false
  let fresh = 0
  let telling
  drawn.describe(`${say("picture")}. ${say("rest")}`)

  /** Speaks once in a while, of all that is new. */
  function tell() {
    telling ??= setTimeout(() => {
      telling = undefined
      told.textContent = fresh ? `${say("fresh", fresh)}. ${where}` : where
      fresh = 0
      drawn.describe(`${say("picture")}. ${where}. ${say("touched")}${drawn.touched().map(name).join(", ")}`)
    }, TELL_EVERY_MS)
  }

  /** What passed lights up step by step, slower than it happened: milliseconds are too fast to be seen. */
  async function play() {
    if (playing) return
    playing = true
    while (waiting.length) {
      const step = waiting.shift()
      const wrong = bad(step)
      const row = rows.get(step.id)?.row
      const mine = source
      row?.classList.add("now")
      for (const [from, to] of hops(step, functions)) {
        if (mine !== source) break // another order
        if (from !== to) drawn.pulse(from, to, wrong)
        drawn.touch(from, {})
        await new Promise((done) => setTimeout(done, HOP_MS / Math.max(waiting.length / HURRY_AT, 1)))
        if (mine === source) drawn.touch(to, { show: true, bad: wrong })
      }
      row?.classList.remove("now")
    }
    playing = false
  }

  function show(step) {
    if (step.gone) {
      rows.get(step.id)?.row.remove()
      rows.delete(step.id)
      return
    }
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40
    const known = rows.get(step.id)
    const wrong = bad(step)
    const row = stepRow(step, wrong)
    known?.row.remove()
    body.insertBefore(row, [...body.rows].find((other) => +other.dataset.ms > step.ms) ?? null)
    if (!known) fresh += 1
    rows.set(step.id, { row })
    if (!known || (wrong && !known.wrong)) {
      if (calm.matches || Date.now() - new Date(step.at) > OLD_MS) {
        for (const part of hops(step, functions).flat()) drawn.touch(part, {})
      } else {
        waiting.push(step)
        play()
      }
    }
    rows.get(step.id).wrong = wrong
    table.hidden = false
    if (atEnd) scroller.scrollTop = scroller.scrollHeight
  }

  function stand(state) {
    const { order_sn, order, closing, janitor, trouble } = state
    const back = state.refunded_fen ? `, ${say("back")} ${yuan(state.refunded_fen)}` : ""
    const money = `${say("total")} ${yuan(state.total_fen)}${back}`
    const word = h("strong", { className: `order ${order}` }, say(closing ? "closing" : order))
    const next = janitor ? `${say("janitor")} ${clock(janitor)}` : ""
    where = `${order_sn}: ${say(order)}${closing ? ` (${say("closing")})` : ""}`
    status.replaceChildren(h("code", {}, order_sn), " ", word, ` · ${money} · ${say("steps", rows.size)}`)
    status.append(h("br"), trouble ? say("trouble") : next)
    tell()
    element.dispatchEvent(new Event("trace-state"))
  }

  function follow(order_sn) {
    source?.close()
    rows.clear()
    body.replaceChildren()
    table.hidden = true
    waiting = []
    drawn.forget()
    status.textContent = order_sn
    source = new EventSource(`/live/orders/${encodeURIComponent(order_sn)}`)
    source.addEventListener("step", (event) => show(JSON.parse(event.data)))
    source.addEventListener("state", (event) => stand(JSON.parse(event.data)))
    source.onerror = () => {
      status.textContent = `${order_sn}: ${say(source.readyState === EventSource.CLOSED ? "gone" : "lost")}`
    }
  }
  document.addEventListener("order", ({ detail }) => learned.then(() => follow(detail)))
}

async function json(path, method = "GET", body) {
  const sent = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }
  const reply = await fetch(path, { method, signal: AbortSignal.timeout(60_000), ...sent })
  const read = await reply.json()
  if (!reply.ok) throw new Error(read.title)
  return read
}

/** The faults that can be switched on, what they did, and the janitor's bell. `element` tells when an order changed. */
function switchboard(element) {
  const count = h("span", { className: "badge", hidden: true })
  const said = h("p", { role: "status", className: "soft" })
  const rows = {} // by the name of a fault

  function show({ name: fault, mode, fired }) {
    const row = rows[fault]
    if (!row) return
    row.querySelector(`input[value=${mode}]`).checked = true
    row.classList.toggle("armed", mode !== "off")
    const times = [
      h("span", { aria: { hidden: "true" } }, `×${fired}`),
      h("span", { className: "visually-hidden" }, say("fired", fired)),
    ]
    row.querySelector(".fired").replaceChildren(...(fired ? times : []))
  }

  const attempt = async (work) => {
    try {
      await work()
    } catch (error) {
      said.textContent = say("failed") + error.message
    }
  }
  const ask = (...what) =>
    attempt(async () => {
      const switches = await json("/live/faults", ...what)
      switches.forEach(show)
      const on = switches.filter(({ mode }) => mode !== "off").length
      count.hidden = !on
      count.textContent = say("faultsOn", on)
    })
  const sweep = () =>
    attempt(async () => {
      said.textContent = say("sweeping")
      const done = await json("/live/sweep", "POST")
      said.textContent = say("swept", done.orders, done.failed)
    })

  const choice = (fault, mode) => {
    const onchange = () => ask("POST", { name: fault, mode })
    const input = h("input", { type: "radio", name: `fault-${fault}`, value: mode, checked: mode === "off", onchange })
    return h("label", {}, input, h("span", {}, say(mode)))
  }
  const row = (fault) => {
    const modes = ["off", "once", "always"].map((mode) => choice(fault, mode))
    const fired = h("span", { className: "fired" })
    const legend = h("legend", {}, say(fault))
    rows[fault] = h("fieldset", { className: "switch" }, legend, fired, h("span", { className: "modes" }, modes))
    return rows[fault]
  }
  const groups = Object.entries(GROUPS).map(([group, faults]) =>
    h("section", {}, h("h3", {}, say(`g_${group}`)), faults.map(row)),
  )

  let soon
  const refresh = () => {
    soon ??= setTimeout(() => {
      soon = undefined
      ask()
    }, 500)
  }
  element.addEventListener("trace-state", refresh)
  ask()
  const allOff = h("button", { type: "button", onclick: () => ask("DELETE") }, say("allOff"))
  const bell = h("button", { type: "button", onclick: sweep }, say("sweep"))
  return h(
    "details",
    { className: "trace-faults", ontoggle: refresh },
    h("summary", {}, say("faults"), " ", count),
    h("p", { className: "soft" }, say("faultsHelp")),
    h("div", { className: "groups" }, groups),
    h("p", { className: "buttons" }, allOff, " ", bell),
    said,
  )
}
