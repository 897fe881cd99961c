// What guests read is true: every failure of every call at every moment, generated, in both languages, through pay.js
// and through the pages. The world knows what really happened; the client only what it was told.
const assert = require("node:assert/strict")
const fs = require("node:fs")
const path = require("node:path")
const { test } = require("node:test")
const { CLAIMS, MOMENTS, TEXTS } = require("../../miniprogram/pay.js")
const PAGES = require("../../miniprogram/texts.js")
const { World, FIELDS, STAY } = require("./world.js")

const problem = (status, type, more, header) => () => ({
  status,
  header,
  body: { type: `urn:wxpay:${type}`, status, title: "x", ...more },
})
const FAILURES = {
  offline: () => "offline",
  "answer lost": () => "lost",
  "no callback": () => "never",
  "wx throws": () => "throws",
  "401 gateway": () => ({ status: 401, body: { message: "Unauthorized" } }),
  "403 gateway": () => ({ status: 403, body: { message: "Forbidden" } }),
  "403 problem": problem(403, "staff-only"),
  "404 problem": problem(404, "not-found"),
  "404 page": () => ({ status: 404, body: "<html>" }),
  408: () => ({ status: 408, body: "" }),
  409: (world, route) => {
    // Ours says so of a cancel only when money is here.
    const told = { order_status: world.order.status }
    return route.endsWith("/cancel") && !world.order.paid ? "offline" : problem(409, "order-state", told)()
  },
  "409 sold out": problem(409, "sold-out", { free: { "2026-12-01": 0 } }),
  "409 price": problem(409, "price-changed", { expected_total_fen: 100, total_fen: 200 }),
  422: problem(422, "invalid", { field: "body.people" }),
  "429 gateway": () => ({ status: 429, body: { message: "Too Many Requests" } }),
  429: problem(429, "too-soon", {}, { "Retry-After": "5" }),
  "429 many": problem(429, "too-many-orders", {}, { "Retry-After": "900" }),
  500: problem(500, "internal", { detail: "Nothing was charged twice." }),
  "502 refused": problem(502, "wechat-refused", { detail: "Nothing was charged." }),
  503: problem(503, "wechat-unavailable", { detail: "Nothing was charged." }, { "Retry-After": "3" }),
  504: () => ({ status: 504, body: "<html>" }),
  "200 page": () => ({ status: 200, body: "<html>sign in to this wifi</html>" }),
  "200 empty": () => ({ status: 200, body: {} }),
  "200 list": () => ({ status: 200, body: [] }),
  "200 null": () => ({ status: 200, body: null }),
}

// A server with one order, as ours answers.
class Shop extends World {
  last = {} // the pending order that the phone kept last
  order = {
    exists: false,
    status: "WAIT_PAY",
    paid: false,
    on_hold: false,
    given_up: false,
    refund_request: null,
    refunded_fen: 0,
    refunding_fen: 0,
  }

  keys = new Set() // of which an order was made
  refundAsked = false // whether a request to refund took effect

  constructor() {
    super()
    const { setStorageSync } = this.wx
    this.wx.setStorageSync = (key, value) => {
      if (key === "wxpay.pending") this.last = { ...value }
      setStorageSync(key, value)
    }
    const out = (status = 200) => ({ status, body: this.told() })
    const conflict = () => problem(409, "order-state", { order_status: this.order.status })()
    this.replies = {
      "POST /login": this.replies["POST /login"],
      "GET /catalogue/homestay": [{ status: 200, body: { offers: [HOME] } }],
      "GET /catalogue/course": this.replies["GET /catalogue/course"],
      "GET /catalogue/course/ink/availability": this.replies["GET /catalogue/course/ink/availability"],
      "POST /orders": [
        (options) => {
          this.keys.add(options.header["Idempotency-Key"])
          this.order.exists = true
          return out(201)
        },
      ],
      "GET /catalogue/homestay/lake-house/availability": [({ url }) => ({ status: 200, body: this.free(url) })],
      "POST /orders/HSO1/refund-request": [
        ({ data }) => {
          const { status, on_hold, refunding_fen, given_up } = this.order
          if (status !== "WAIT_USE" || on_hold || refunding_fen || given_up) return conflict()
          const told = { order_sn: "HSO1", total_fen: 100, refund_fen: 100, needs_staff: false }
          if (JSON.parse(data).dry_run) return { status: 200, body: { ...told, state: "shown" } }
          this.refundAsked = true
          Object.assign(this.order, { refunding_fen: 100, given_up: true })
          return { status: 200, body: { ...told, state: "refunding" } }
        },
      ],
      "GET /orders": [() => ({ status: 200, body: { orders: this.order.exists ? [this.told()] : [], next: null } })],
      "GET /orders/HSO1": [() => out()],
      "GET /orders/HSO1/payment": [() => ({ status: 200, body: this.payment() })],
      "POST /orders/HSO1/prepay": [
        () => (this.order.status === "WAIT_PAY" && !this.order.paid ? { status: 200, body: FIELDS } : conflict()),
      ],
      "POST /orders/HSO1/cancel": [
        () => {
          if (this.order.paid) return conflict()
          this.order.status = "CANCELLED"
          return out()
        },
      ],
    }
  }

  told() {
    const { exists, paid, ...order } = this.order
    const redeem_code = order.status === "WAIT_USE" && !order.given_up ? "ABCDEFGHJK" : null
    const stay = {
      homestay_id: "lake-house",
      title: "x",
      start_date: "2026-12-01",
      end_date: "2026-12-03",
      nights: 2,
      people: 2,
      remark: "",
      homestay_total_fen: 1,
      food_total_fen: 0,
      free_until: "2027-01-20T10:00:00Z",
    }
    return {
      order_sn: "HSO1",
      total_fen: 100,
      expires_at: "2026-12-01T00:00:00Z",
      closing: false,
      redeem_code,
      service_type: "homestay",
      purchase: stay,
      ...order,
    }
  }

  payment() {
    const { status, paid, on_hold } = this.order
    const poll_after_ms = status === "WAIT_PAY" ? 5000 : on_hold ? 30_000 : null
    return {
      order_sn: "HSO1",
      order_status: status,
      payment_status: paid ? "SUCCESS" : "NOTPAY",
      on_hold,
      redeem_code: null,
      poll_after_ms,
    }
  }

  has(order) {
    Object.assign(this.order, { exists: true }, order)
    if (this.order.paid) this.opened = true
  }
}
const HOME = {
  homestay_id: "lake-house",
  title: "x",
  subtitle: "",
  price_fen: 1,
  from_fen: 1,
  market_price_fen: 0,
  food_price_fen: 0,
  capacity: 2,
}

// How the moments come about: the world's truth, and what this app has heard of it.
const PAST = {
  "nothing ordered": () => {},
  "ordered by a start of the app that was killed": async (world) => {
    world.failing = (route) => (route === "POST /orders" ? "lost" : undefined)
    await world.timers.run(
      world
        .launch()
        .pay.buy(STAY)
        .catch(() => {}),
    )
    world.order.exists = true
  },
  "the same, and paid on another phone since": async (world) => {
    await PAST["ordered by a start of the app that was killed"](world)
    world.has({ paid: true, status: "WAIT_USE" })
  },
  ordered: (world) => world.has({}),
  "a cashier is open on another phone": (world) => {
    world.has({})
    world.opened = true
  },
  "paid on another phone": (world) => world.has({ paid: true, status: "WAIT_USE" }),
  "closed the cashier here": async (world, pay) => {
    world.has({})
    world.cashier = ["cancel"]
    await world.timers.run(pay.pay("HSO1"))
    world.cashier = ["ok"]
  },
  "paid here, nobody has heard of it": async (world, pay) => {
    world.has({})
    const offline = (route) => (route.endsWith("/payment") ? "offline" : undefined)
    world.failing = offline
    await world.timers.run(pay.pay("HSO1"))
    world.has({ paid: true })
  },
  ...Object.fromEntries(
    Object.entries({
      "paid, the order not yet": { paid: true },
      paid: { paid: true, status: "WAIT_USE" },
      used: { paid: true, status: "USED" },
      "refund on its way": { paid: true, status: "WAIT_USE", refunding_fen: 100 },
      "on hold": { paid: true, status: "WAIT_USE", on_hold: true },
      "given up": { paid: true, status: "WAIT_USE", given_up: true, refunding_fen: 100 },
      "given up for nothing": { paid: true, status: "WAIT_USE", given_up: true },
      "asked for": { paid: true, status: "WAIT_USE", refund_request: { state: "asked", refund_fen: 100 } },
      declined: { paid: true, status: "WAIT_USE", refund_request: { state: "declined", refund_fen: 100, reason: "x" } },
      refunded: { paid: true, status: "REFUNDED", refunded_fen: 100 },
      closed: { status: "CANCELLED" },
    }).flatMap(([name, order]) => [
      [
        `${name}, known`,
        async (world, pay) => {
          world.has(order)
          await world.timers.run(pay.look("HSO1"))
        },
      ],
      [`${name}, not known here`, (world) => world.has(order)],
    ]),
  ),
}
const KNOWN = {
  paid: "paid",
  used: "paid",
  "paid, the order not yet": "paid",
  "refund on its way": "paid",
  "on hold": "paid",
  "given up": "paid",
  "given up for nothing": "paid",
  "asked for": "paid",
  declined: "paid",
  refunded: "over",
  closed: "over",
}

// The calls: the routes that fail, and what the guest does.
const CALLS = {
  login: [["POST /login"], (pay) => pay.order("HSO1")],
  "login, for a purchase": [["POST /login"], (pay) => pay.buy(STAY)],
  "login, for paying": [["POST /login"], (pay) => pay.pay("HSO1")],
  offers: [["GET /catalogue/homestay"], (pay) => pay.offers("homestay")],
  orders: [["GET /orders"], (pay) => pay.orders()],
  create: [["POST /orders"], (pay) => pay.buy(STAY)],
  "prepay, of a purchase": [["POST /orders/HSO1/prepay"], (pay) => pay.buy(STAY)],
  prepay: [["POST /orders/HSO1/prepay"], (pay) => pay.pay("HSO1")],
  "prepay, the second": [["POST /orders/HSO1/prepay"], (pay) => pay.pay("HSO1"), "prepay_id", 1],
  cashier: [[], (pay) => pay.pay("HSO1"), "no permission"],
  "poll, after paying": [["GET /orders/HSO1/payment"], (pay) => pay.pay("HSO1")],
  "poll, after the cashier was closed": [["GET /orders/HSO1/payment"], (pay) => pay.pay("HSO1"), "cancel"],
  poll: [["GET /orders/HSO1/payment"], (pay) => pay.look("HSO1")],
  order: [["GET /orders/HSO1"], (pay) => pay.order("HSO1")],
  cancel: [["POST /orders/HSO1/cancel"], (pay) => pay.cancel("HSO1")],
  availability: [
    ["GET /catalogue/homestay/lake-house/availability"],
    (pay) => pay.availability("homestay", "lake-house", "2026-12-01", "2026-12-31"),
  ],
  quote: [["POST /orders/HSO1/refund-request"], (pay) => pay.refundRequest("HSO1", { dry_run: true })],
  refund: [["POST /orders/HSO1/refund-request"], (pay) => pay.refundRequest("HSO1")],
  everything: [null, (pay) => pay.buy(STAY)],
  "everything, for paying": [null, (pay) => pay.pay("HSO1")],
}

const SAYS = {
  nothing: [/没有扣款|未扣款/, /nothing was charged|not charged/i],
  unopened: [/没有打开微信支付/, /WeChat Pay was not opened/],
  noticed: [/如有扣款会自动确认/, /if you were charged, it will be noticed/i],
  paid: [
    /^已支付|支付成功|待(入住|上课|使用)|已(入住|签到|使用)/,
    /^Paid\b|Ready to (check in|attend|use)|Checked in|^Attended|^Used/,
  ],
  hold: [/核实退款/, /checking a refund/],
  refunded: [/已退款|已原路退回/, /\brefunded\b|has come back/i],
  refunding: [/退款处理中|正在原路退回/, /Refund on its way|is on its way back/],
  given: [/已退订/, /Booking cancelled|booking is cancelled/],
  asked: [/等待商家决定|等待答复/, /has not decided yet/],
  declined: [/没有同意退款/, /did not agree to a refund/],
  granted: [/已同意退款/, /has agreed to a refund/],
  closed: [/订单已关闭|(?<!是否)已取消$/, /order is closed|^Cancelled/i],
}
const LANGUAGES = ["zh", "en"]
const says = (text) => Object.keys(SAYS).filter((name) => SAYS[name].some((one) => one.test(text)))

let nothing = 0 // how often it was said that nothing was charged

// What a text may say in this world.
function judge(world, text, context) {
  const { paid, status, on_hold, refunding_fen, refunded_fen, given_up, refund_request } = world.order
  const said = says(text)
  const told = `${context}: ${text}`
  assert.ok(text && !/undefined|null|NaN|\[object|[{}]/.test(text), told)
  // Said of the order that is being placed. One that exists may be paid on another phone at any moment.
  if (said.includes("nothing")) {
    const { key } = world.stored["wxpay.pending"] || world.last
    assert.ok(!world.keys.has(key), told)
    assert.ok(!/prepay|cashier|payment/.test(world.routes().join()), told)
    nothing++
  }
  if (said.includes("unopened")) assert.deepEqual(world.routes("cashier"), [], told)
  if (said.includes("paid")) assert.ok(paid, told)
  if (said.includes("hold")) assert.ok(on_hold, told)
  if (said.includes("refunded")) assert.ok(refunded_fen > 0, told)
  if (said.includes("refunding")) assert.ok(refunding_fen > 0, told)
  if (said.includes("given")) assert.ok(given_up, told)
  for (const state of ["asked", "declined", "granted"]) {
    if (said.includes(state)) assert.equal(refund_request?.state, state, told)
  }
  if (said.includes("closed")) assert.equal(status, "CANCELLED", told)
  // A second order cannot come of the same key, so the phone still has it.
  if (/不会重复下单|makes no second one/.test(text)) assert.ok(world.stored["wxpay.pending"], told)
  if (/(不能|没有)申请退款|no refund was asked|refund cannot be asked/.test(text)) assert.ok(!world.refundAsked, told)
  if (/不能取消|cannot be cancelled/.test(text)) assert.ok(paid || context.includes("cancel"), told)
  return said
}

// All combinations; `walk` is told of each and gives a text per language, which must say the same.
async function combine(names, failures, walk) {
  for (const past of Object.keys(PAST)) {
    for (const failure of failures) {
      for (const name of names) {
        const said = []
        for (const lang of LANGUAGES) {
          said.push(
            await walk({ past, failure, name, lang, context: `${lang}, ${past}, ${name} fails with ${failure}` }),
          )
        }
        assert.deepEqual(said[0], said[1], `${past}, ${name}, ${failure}: the languages differ`)
      }
    }
  }
}

// A world with a past, whose routes fail from now on.
async function begin({ past, failure, lang }, routes, after = 0) {
  const world = new Shop()
  world.language = lang === "zh" ? "zh_CN" : "en"
  const start = world.launch()
  await PAST[past](world, start.pay)
  world.calls.length = 0
  const asked = {}
  world.failing = (route) => {
    if (routes && !routes.includes(route)) return undefined
    asked[route] = (asked[route] || 0) + 1
    return asked[route] > after ? FAILURES[failure](world, route) : undefined
  }
  return { world, ...start }
}

for (const name of Object.keys(CALLS)) {
  test(`${name}: whatever fails, whenever, what the guest reads is true`, async () => {
    const [routes, act, cashier = "ok", after] = CALLS[name]
    let failed = 0
    await combine([name], Object.keys(FAILURES), async (one) => {
      const { world, pay } = await begin(one, routes, after)
      if (!routes || routes.includes("POST /login")) world.timers.time += 7200_000
      world.cashier = [cashier]
      const steps = []
      try {
        const told = await world.timers.run(act(pay, (step) => steps.push(step)))
        if (told.state || told.nights) return [] // an answer, without a word
        return [told.text, told.note].filter(Boolean).map((text) => judge(world, text, one.context))
      } catch (error) {
        failed++
        assert.equal(error.name, "PayError", `${one.context}: ${error.stack}`)
        const said = judge(world, error.text, one.context)
        // It says what README.md's table says, no more and no less.
        const claim = CLAIMS[error.call][MOMENTS.indexOf(error.moment)]
        const claims = said.filter((it) => ["nothing", "unopened", "noticed"].includes(it))
        assert.deepEqual(
          claims,
          ["nothing", "unopened", "noticed"].includes(claim) ? [claim] : [],
          `${one.context}: ${error.text}`,
        )
        if (claim === "-") assert.deepEqual(said, [], `${one.context}: ${error.text}`)
        if (claim === "known") assert.ok(said.length, `${one.context}: ${error.text}`)
        // What is known is said: nobody who has paid reads a failure alone.
        const [, before] = one.past.match(/^(.*), known$/) || []
        if (before && error.order_sn) assert.equal(error.moment, KNOWN[before], one.context)
        return said
      }
    })
    assert.ok(failed > 0)
    if (["create", "login, for a purchase"].includes(name)) assert.ok(nothing > 0)
  })
}

// What a try left open, a later one does not settle: the first fails in a way that may end by itself, the others in any.
for (const [name, past, route] of [
  ["create", "nothing ordered", "POST /orders"],
  ["refund", "paid, known", "POST /orders/HSO1/refund-request"],
  ["refund", "paid, not known here", "POST /orders/HSO1/refund-request"],
]) {
  test(`${name}, ${past}: whatever fails after what failed before, what the guest reads is true`, async () => {
    const perhaps = new Set()
    for (const first of ["offline", "answer lost", "no callback", "wx throws", "429 gateway", "503", "504"]) {
      await combine([name], Object.keys(FAILURES), async (one) => {
        if (one.past !== past) return []
        const context = `${one.context} after ${first}`
        const { world, pay } = await begin(one)
        let tries = 0
        world.failing = (asked) => (asked === route ? FAILURES[tries++ ? one.failure : first](world, route) : undefined)
        const error = await world.timers.run(CALLS[name][1](pay)).then(
          () => assert.fail(context),
          (told) => told,
        )
        if (/可能|不知道/.test(error.text)) perhaps.add(first)
        return judge(world, error.text, context)
      })
    }
    // A gateway that says 429 has not passed it on, and every other first failure may have.
    for (const first of ["answer lost", "no callback", "503", "504"]) assert.ok(perhaps.has(first), first)
  })
}

// --- the pages

// All that a page says, but for names and numbers.
function visible(page, t) {
  const { message, note, refused, text, step, order, orders } = page.data
  const sums = ["refunding", "refunded", "byHand", "stuck", "closing"]
  const of = (one) => (one ? [one.word, one.wish, one.free, ...sums.map((name) => one[name] && t[name])] : [])
  return [message, note, refused, text, step, ...of(order), ...(orders || []).flatMap(of)].filter(Boolean)
}

// One failure of each kind: pay.js has been walked through all of them.
const KINDS = [
  "offline",
  "answer lost",
  "no callback",
  "403 gateway",
  "404 problem",
  "409",
  "409 sold out",
  "409 price",
  "422",
  "429",
  "429 many",
  "500",
  "502 refused",
  "503",
  "200 empty",
]

const VIEWS = {
  order: [["GET /orders/HSO1"], (start) => start.open("order", { order_sn: "HSO1" })],
  result: [["GET /orders/HSO1", "GET /orders/HSO1/payment"], (start) => start.open("result", { order_sn: "HSO1" })],
  "result, the order alone": [["GET /orders/HSO1"], (start) => start.open("result", { order_sn: "HSO1" })],
  orders: [["GET /orders"], (start) => start.open("orders")],
  "order, paying": [
    ["POST /orders/HSO1/prepay"],
    (start) => start.open("order", { order_sn: "HSO1" }),
    (page) => page.onPay(),
  ],
  "order, cancelling": [
    ["POST /orders/HSO1/cancel"],
    (start) => start.open("order", { order_sn: "HSO1" }),
    (page) => page.cancel(),
  ],
  "order, what would come back": [
    ["POST /orders/HSO1/refund-request"],
    (start) => start.open("order", { order_sn: "HSO1" }),
    (page) => page.onRefund(),
  ],
  "order, giving it up": [
    ["POST /orders/HSO1/refund-request"],
    (start) => start.open("order", { order_sn: "HSO1" }),
    (page) => page.onRefund(),
    1, // what would come back is shown
  ],
  "order, no network at all": [null, (start) => start.open("order", { order_sn: "HSO1" }), (page) => page.onPay()],
  "result, paying": [
    ["POST /orders/HSO1/prepay"],
    (start) => start.open("result", { order_sn: "HSO1" }),
    (page) => page.onPay(),
  ],
  book: [
    ["POST /orders", "POST /orders/HSO1/prepay"],
    (start) => start.open("book", { homestay_id: "lake-house" }),
    (page) => page.onBuy(),
  ],
  course: [
    ["POST /orders", "POST /orders/HSO1/prepay"],
    (start) => start.open("course", { course_id: "ink" }),
    (page) => page.onBuy(),
  ],
  "book, no network at all": [
    null,
    (start) => start.open("book", { homestay_id: "lake-house" }),
    (page) => page.onBuy(),
  ],
  "course, no network at all": [null, (start) => start.open("course", { course_id: "ink" }), (page) => page.onBuy()],
  "book, what is free": [
    ["GET /catalogue/homestay/lake-house/availability"],
    (start) => start.open("book", { homestay_id: "lake-house" }),
  ],
  "course, what is free": [
    ["GET /catalogue/course/ink/availability"],
    (start) => start.open("course", { course_id: "ink" }),
  ],
}

for (const name of Object.keys(VIEWS)) {
  test(`page ${name}: whatever fails, whenever, what the guest reads is true`, async () => {
    const [routes, open, act, after] = VIEWS[name]
    await combine([name], KINDS, async (one) => {
      const start = await begin(one, routes, after)
      const { world } = start
      const failing = world.failing
      if (act && routes) world.failing = () => undefined
      const page = open(start)
      const setData = page.setData
      const read = []
      const look = () =>
        read.push(...visible(page, start.app.t).map((text) => judge(world, text, `${one.context}, page`).join(" ")))
      page.setData = (changes) => {
        setData(changes)
        look()
      }
      await world.timers.advance(5000)
      world.failing = failing
      if (act) act(page)
      await world.timers.advance(60_000)
      look()
      assert.ok(!read.includes("broken"))
      const [, before] = one.past.match(/^(.*), known$/) || []
      if (before && KNOWN[before] === "paid" && ["order", "result"].includes(name)) {
        assert.ok(
          visible(page, start.app.t).some((text) =>
            says(text).some((it) => ["paid", "hold", "refunding", "given"].includes(it)),
          ),
          one.context,
        )
      }
      for (const { title, content } of world.asked) judge(world, `${title} ${content}`, `${one.context}, asked`)
      page.onUnload?.()
      return [...new Set(read)]
    })
  })
}

// --- the two languages and the table

const leaves = (value, at = "") =>
  typeof value === "object"
    ? Object.entries(value).flatMap(([key, inner]) => leaves(inner, `${at}/${key}`))
    : [[at, value]]

for (const [name, texts] of [
  ["pay.js", TEXTS],
  ["texts.js", PAGES],
]) {
  test(`${name}: both languages have the same texts, and each says the same`, () => {
    const [zh, en] = LANGUAGES.map((lang) => leaves(texts[lang]))
    assert.deepEqual(
      en.map(([key]) => key),
      zh.map(([key]) => key),
    )
    zh.forEach(([key, text], index) => {
      const other = en[index][1]
      for (const claim of Object.keys(SAYS)) {
        const told = `${key}: ${claim}: ${text} | ${other}`
        if (!key.startsWith("/glue")) assert.equal(SAYS[claim][0].test(text), SAYS[claim][1].test(other), told)
      }
    })
  })
}

test("no page has a text of its own about charging", () => {
  for (const [key, text] of leaves(PAGES)) assert.ok(!/扣款|charged/.test(text), key)
})

test("README.md's table is pay.js's", () => {
  const readme = fs.readFileSync(path.join(__dirname, "../../miniprogram/README.md"), "utf8")
  const cellsOf = (line) => line.split("|").map((cell) => cell.trim())
  const lines = readme.split("\n").filter((line) => /^\| `/.test(line))
  const rows = lines.map((line) => cellsOf(line).slice(1, -1))
  const table = Object.fromEntries(
    rows.filter((row) => row.length === 7).map(([call, , ...cells]) => [call.replaceAll("`", ""), cells]),
  )
  assert.deepEqual(table, CLAIMS)
  for (const kind of Object.keys(TEXTS.zh.why)) assert.ok(readme.includes(`\`${kind}\``), kind)
  for (const text of [...Object.values(TEXTS.zh.outcome), ...Object.values(TEXTS.zh.known)]) {
    assert.ok(readme.includes(text), text)
  }
  for (const [claim, [zh, en]] of Object.entries(SAYS).filter(([name]) =>
    ["nothing", "unopened", "noticed"].includes(name),
  )) {
    const row = rows.find((cells) => cells.length === 3 && cells[0] === `\`${claim}\``)
    assert.match(row[1], zh)
    assert.match(row[2], en)
  }
})
