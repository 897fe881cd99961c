// pay.js against a wx that fails in every way the real one does, and a server that answers as ours does.
const assert = require("node:assert/strict")
const { beforeEach, test } = require("node:test")
const { createPay, PayError, TEXTS } = require("../../miniprogram/pay.js")
const { World: Phone, FIELDS, STAY } = require("./world.js")

const BUSY = {
  status: 503,
  body: { type: "urn:wxpay:wechat-unavailable", status: 503 },
  header: { "Retry-After": "3" },
}
const SLOWER = { status: 429, body: { type: "urn:wxpay:too-soon", status: 429 }, header: { "Retry-After": "5" } }
const UNPAID = {
  order_sn: "HSO1",
  order_status: "WAIT_PAY",
  payment_status: "NOTPAY",
  redeem_code: null,
  poll_after_ms: 1000,
}
const PAID = {
  ...UNPAID,
  order_status: "WAIT_USE",
  payment_status: "SUCCESS",
  redeem_code: "ABCDEFGHJK",
  poll_after_ms: null,
}
const REFUSED_TOKEN = { status: 403, body: { message: "Forbidden" } }
const ORDER = { order_sn: "HSO1", status: "WAIT_PAY" }

class World extends Phone {
  constructor() {
    super()
    this.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: PAID }]
  }

  client(more) {
    return createPay({
      baseUrl: "https://api.example.com",
      templateIds: ["T1", "T2", "T3", "T4"],
      wx: this.wx,
      timers: this.timers,
      ...more,
    })
  }
}

let world
let pay
const run = (promise) => world.timers.run(promise)
const refused = (promise, kind) =>
  assert.rejects(run(promise), (error) => {
    assert.ok(error instanceof PayError, error.stack)
    assert.equal(error.kind, kind)
    assert.ok(error.text.includes(TEXTS.zh.why[kind]), error.text)
    return true
  })

beforeEach(() => {
  world = new World()
  pay = world.client()
})

// --- the straight way

test("one tap: asks for messages first, orders, pays, and believes only the server", async () => {
  const steps = []
  const told = await run(pay.buy(STAY, (step) => steps.push(step)))
  assert.deepEqual([told.outcome, told.redeem_code, told.text], ["paid", "ABCDEFGHJK", "支付成功"])
  assert.deepEqual(world.routes(), [
    "subscribe",
    "POST /login",
    "POST /orders",
    "POST /orders/HSO1/prepay",
    "cashier",
    "GET /orders/HSO1/payment",
  ])
  assert.deepEqual(steps, ["order", "prepay", "cashier", "poll"])
  assert.deepEqual(world.calls[0].tmplIds, ["T1", "T2", "T3"])
  const { timeStamp, nonceStr, package: prepaid, signType, paySign, out_trade_no } = world.calls[4]
  assert.deepEqual(
    [timeStamp, nonceStr, prepaid, signType, paySign, out_trade_no],
    ["1", "n", "prepay_id=wx1", "RSA", "s", undefined],
  )
  assert.equal(world.calls[2].header.Authorization, "Bearer token-1")
})

test("messages are asked for in the tap itself, before anything is awaited", () => {
  pay.pay("HSO1")
  assert.deepEqual(world.routes(), ["subscribe"])
})

test("polls as the server says, not more often", async () => {
  world.replies["GET /orders/HSO1/payment"] = [
    { status: 200, body: UNPAID },
    { status: 200, body: { ...UNPAID, poll_after_ms: 5000 } },
    { status: 200, body: { ...UNPAID, payment_status: "SUCCESS", poll_after_ms: 300 } },
    { status: 200, body: PAID },
  ]
  const started = world.timers.now()
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
  assert.equal(world.timers.now() - started, 1000 + 5000 + 300)
})

test("paid on the phone is not paid: without the server it is still waiting, and may be followed on", async () => {
  world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: UNPAID }]
  const told = await run(pay.pay("HSO1"))
  assert.deepEqual([told.outcome, told.text], ["waiting", TEXTS.zh.outcome.waiting])
  assert.ok(world.routes("payment").length <= 62)
  world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: PAID }]
  assert.equal((await run(pay.follow("HSO1"))).outcome, "paid")
})

test("in English", async () => {
  assert.equal((await run(world.client({ lang: "en" }).pay("HSO1"))).text, "Paid")
})

// --- the cashier

for (const cancel of ["cancel", "old cancel"]) {
  test(`the user closes the cashier (${cancel})`, async () => {
    world.cashier = [cancel]
    world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: UNPAID }]
    assert.equal((await run(pay.pay("HSO1"))).outcome, "cancelled")
    assert.equal(world.routes("payment").length, 1)
  })
}

test("the user closes the cashier of an order that is paid already", async () => {
  world.cashier = ["cancel"]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
})

test("the user closes the cashier while the server cannot be asked: it is checked, not called unpaid", async () => {
  world.cashier = ["cancel"]
  world.replies["GET /orders/HSO1/payment"] = ["offline"]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "waiting")
})

test("a cashier that refuses gets a fresh prepay, once", async () => {
  world.cashier = ["prepay_id已过期", "ok"]
  world.replies["GET /orders/HSO1/payment"] = [
    { status: 200, body: UNPAID },
    { status: 200, body: PAID },
  ]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
  assert.deepEqual(
    world.calls.filter((call) => call.route.endsWith("prepay")).map((call) => call.body),
    [{}, { fresh: true }],
  )
})

test("a cashier that refuses twice is an error with a text, and the phone can try again", async () => {
  world.cashier = ["no permission"]
  world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: UNPAID }]
  await refused(pay.pay("HSO1"), "cashier")
  assert.equal(world.routes("cashier").length, 2)
  world.cashier = ["ok"]
  world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: PAID }]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
})

test("a cashier that never says how it ended: the server knows", async () => {
  world.cashier = ["never"]
  world.replies["GET /orders/HSO1/payment"] = [
    { status: 200, body: UNPAID },
    { status: 200, body: PAID },
  ]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
})

test("an order that is paid on another phone, or over: no cashier opens", async () => {
  world.replies["POST /orders/HSO1/prepay"] = [
    { status: 409, body: { type: "urn:wxpay:order-state", order_status: "WAIT_USE" } },
  ]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
  for (const [order_status, text] of [
    ["CANCELLED", "closed"],
    ["WAIT_PAY", "unpayable"],
    ["REFUNDED", "refunded"],
  ]) {
    world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: { ...UNPAID, order_status } }]
    const told = await run(pay.pay("HSO1"))
    assert.deepEqual([told.outcome, told.text], ["closed", TEXTS.zh.outcome[text]])
  }
  assert.deepEqual(world.routes("cashier"), [])
})

test("a payment that has just arrived is waited for, not called closed", async () => {
  world.replies["POST /orders/HSO1/prepay"] = [{ status: 409, body: { type: "urn:wxpay:order-state" } }]
  const arrived = { status: 200, body: { ...UNPAID, payment_status: "SUCCESS", poll_after_ms: 300 } }
  world.replies["GET /orders/HSO1/payment"] = [arrived, arrived, { status: 200, body: PAID }]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
})

test("the cashier opens when the guest has answered about messages, not over the question", async () => {
  let answer
  world.wx.requestSubscribeMessage = (options) =>
    (answer = () => options.success({ errMsg: "requestSubscribeMessage:ok" }))
  const paid = pay.pay("HSO1")
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  assert.deepEqual(world.routes("prepay").length, 1)
  assert.deepEqual(world.routes("cashier"), [])
  answer()
  assert.equal((await run(paid)).outcome, "paid")
})

for (const subscription of ["fails", "never"]) {
  test(`messages that cannot be asked for do not stop a payment (${subscription})`, async () => {
    world.subscription = subscription
    assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
  })
}

test("an old WeChat without subscription messages, and an app without templates", async () => {
  assert.equal((await run(world.client({ templateIds: [] }).pay("HSO1"))).outcome, "paid")
  delete world.wx.requestSubscribeMessage
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
  assert.deepEqual(world.routes("subscribe"), [])
})

// --- signing in

test("signs in once for many requests at once, and keeps the token over a restart", async () => {
  await run(Promise.all([pay.offers("homestay"), pay.offers("homestay"), pay.pay("HSO1")]))
  await run(world.client().offers("homestay"))
  assert.equal(world.logins, 1)
})

test("two requests whose token is refused, one of them late, sign in again once", async () => {
  world.replies["GET /catalogue/homestay"].unshift(REFUSED_TOKEN)
  world.replies["GET /orders"] = [
    { ...REFUSED_TOKEN, after: 5000 },
    { status: 200, body: { orders: [] } },
  ]
  await run(Promise.all([pay.offers("homestay"), pay.orders()]))
  assert.equal(world.logins, 2)
})

test("a token that is about to expire is not used", async () => {
  await run(pay.offers("homestay"))
  world.timers.time += 7200_000 - 30_000
  await run(pay.offers("homestay"))
  assert.equal(world.logins, 2)
})

for (const no of [
  REFUSED_TOKEN,
  { status: 401, body: { message: "Unauthorized" } },
  { status: 401, body: { type: "urn:wxpay:unauthorized" } },
]) {
  test(`a token refused in the middle of paying (${no.status} ${Object.keys(no.body)}): signed in again, the order is kept`, async () => {
    world.replies["POST /orders/HSO1/prepay"].unshift(no)
    world.replies["GET /orders/HSO1/payment"].unshift(no)
    const told = await run(pay.buy(STAY))
    assert.equal(told.outcome, "paid")
    assert.deepEqual([world.logins, world.orders.size], [3, 1])
    assert.equal(world.calls.at(-1).header.Authorization, "Bearer token-3")
  })
}

test("tokens that are refused for ever end in a text, not in a circle", async () => {
  world.replies["GET /catalogue/homestay"] = [REFUSED_TOKEN]
  await refused(pay.offers("homestay"), "signin")
  assert.equal(world.logins, 2)
})

test("the API's own 403 is not about the token", async () => {
  world.replies["GET /catalogue/homestay"] = [{ status: 403, body: { type: "urn:wxpay:staff-only" } }]
  await refused(pay.offers("homestay"), "broken")
  assert.equal(world.logins, 1)
})

test("a login whose answer got lost takes a new code", async () => {
  world.replies["POST /login"].unshift("offline", { status: 401, body: { type: "urn:wxpay:bad-code" } })
  await run(pay.offers("homestay"))
  const codes = world.calls.filter((call) => call.route === "POST /login").map((call) => call.body.code)
  assert.equal(new Set(codes).size, 3)
})

test("wx.login that fails, or gives no code", async () => {
  world.wx.login = ({ fail }) => fail({ errMsg: "login:fail" })
  await refused(pay.offers("homestay"), "signin")
  world.wx.login = ({ success }) => success({ errMsg: "login:ok" })
  await refused(pay.offers("homestay"), "signin")
  world.wx.login = () => {}
  await refused(pay.offers("homestay"), "signin")
})

test("a login code that WeChat does not know three times", async () => {
  world.replies["POST /login"] = [{ status: 401, body: { type: "urn:wxpay:bad-code" } }]
  await refused(pay.offers("homestay"), "signin")
  assert.equal(world.routes("login").length, 3)
})

// --- never twice

test("two taps are one order and one cashier", async () => {
  const [first, second] = await run(Promise.all([pay.buy(STAY), pay.buy(STAY)]))
  assert.equal(first, second)
  assert.deepEqual([world.orders.size, world.routes("cashier").length], [1, 1])
})

for (const trouble of ["lost", "offline", "never", "throws", BUSY, { status: 502, body: "<html>bad gateway</html>" }]) {
  test(`an order whose answer is ${trouble.status || trouble} is asked for again with the same key`, async () => {
    world.replies["POST /orders"].unshift(trouble)
    assert.equal((await run(pay.buy(STAY))).outcome, "paid")
    assert.equal(world.orders.size, 1)
  })
}

test("an app that is killed after the order, before its answer: the same key after the restart", async () => {
  const [answer] = world.replies["POST /orders"]
  const answerLost = (options) => {
    answer(options)
    return "offline"
  }
  world.replies["POST /orders"] = [answerLost]
  await refused(pay.buy(STAY), "offline")
  world.replies["POST /orders"] = [answer]
  const told = await run(world.client().buy(STAY))
  assert.deepEqual([told.outcome, world.orders.size], ["paid", 1])
})

test("the same stay again, on purpose, is a new order; so is another stay", async () => {
  await run(pay.createOrder(STAY))
  await run(pay.createOrder(STAY))
  await run(pay.createOrder({ ...STAY, people: 1 }))
  assert.equal(world.orders.size, 3)
})

test("what went wrong in wx itself is told to who asks", async () => {
  world.replies["GET /catalogue/homestay"].unshift("throws", "throws", "throws")
  await assert.rejects(run(pay.offers("homestay")), { kind: "offline", why: "request is not available" })
})

test("another stay, after one whose answer never came, has a key of its own", async () => {
  world.replies["POST /orders"].unshift("offline", "offline", "offline")
  await refused(pay.createOrder(STAY), "offline")
  await run(pay.createOrder({ ...STAY, people: 1 }))
  const keys = world.calls.filter((call) => call.route === "POST /orders").map((call) => call.header["Idempotency-Key"])
  assert.equal(new Set(keys).size, 2)
})

test("a key that the server has forgotten is not used again", async () => {
  world.replies["POST /orders"].unshift("offline", "offline", "offline")
  await refused(pay.createOrder(STAY), "offline")
  world.timers.time += 7 * 24 * 3600_000
  await run(pay.createOrder(STAY))
  const keys = world.calls.filter((call) => call.route === "POST /orders").map((call) => call.header["Idempotency-Key"])
  assert.equal(new Set(keys).size, 2)
  for (const key of keys) assert.match(key, /^[0-9A-Za-z_-]{8,64}$/)
})

test("a stay that is refused tells the field, and is forgotten", async () => {
  const problem = { type: "urn:wxpay:invalid", status: 422, field: "body.people" }
  world.replies["POST /orders"] = [{ status: 422, body: problem }]
  await assert.rejects(run(pay.buy(STAY)), (error) => error.kind === "invalid" && error.problem.field === "body.people")
  assert.equal(world.stored["wxpay.pending"], undefined)
  assert.equal(world.routes("POST /orders").length, 1)
})

// --- sold out, and a price that has changed

const SOLD_OUT = { type: "urn:wxpay:sold-out", status: 409, free: { "2026-12-01": 0, "2026-12-02": 1 } }
const DEARER = { type: "urn:wxpay:price-changed", status: 409, expected_total_fen: 77600, total_fen: 87600 }

for (const [kind, problem, zh, en] of [
  [
    "soldout",
    SOLD_OUT,
    "余量不足，订单没有提交，没有扣款，请重新选择",
    "There is not enough left; the order was not placed; nothing was charged; please choose again",
  ],
  [
    "price",
    DEARER,
    "价格已变动，订单没有提交，没有扣款，请核对新价格",
    "The price has changed; the order was not placed; nothing was charged; please look at the new price",
  ],
]) {
  test(`${kind}: told with what the server says, at once, and the next try has a key of its own`, async () => {
    const [answer] = world.replies["POST /orders"]
    for (const [lang, text] of Object.entries({ zh, en })) {
      world.replies["POST /orders"] = [{ status: 409, body: problem }]
      const told = { kind, call: "create", moment: "before", text, status: 409, problem }
      await assert.rejects(run(world.client({ lang }).buy(STAY)), told)
      assert.equal(world.stored["wxpay.pending"], undefined)
    }
    assert.deepEqual(world.routes("prepay"), [])
    world.replies["POST /orders"] = [answer]
    await run(pay.buy(STAY))
    const sent = world.calls.filter((call) => call.route === "POST /orders")
    assert.equal(new Set(sent.map((call) => call.header["Idempotency-Key"])).size, 3)
    assert.equal(sent.length, 3)
  })

  test(`${kind} after a try whose answer got lost: that one may have been placed, and the guest is sent to his orders`, async () => {
    world.replies["POST /orders"] = ["offline", { status: 409, body: problem }]
    await assert.rejects(run(pay.buy(STAY)), (error) => {
      assert.deepEqual([error.kind, error.moment], [kind, "unknown"])
      assert.match(error.text, /之前的提交可能已生成订单，这次没有打开微信支付，请先查看我的订单$/)
      return true
    })
    assert.equal(world.stored["wxpay.pending"], undefined)
  })

  test(`${kind} after a 429, which was a no: nothing was ordered`, async () => {
    world.replies["POST /orders"] = [SLOWER, { status: 409, body: problem }]
    await assert.rejects(run(pay.buy(STAY)), { kind, moment: "before" })
  })

  test(`${kind} without the rest of the problem is told all the same`, async () => {
    world.replies["POST /orders"] = [{ status: 409, body: { type: problem.type } }]
    await assert.rejects(run(pay.buy(STAY)), { kind, text: zh })
  })
}

// --- what is free

const FREE = "GET /catalogue/homestay/lake-house/availability"
const NIGHT = { date: "2026-12-01", price_fen: 38800, free: 1 }
const free = () => pay.availability("homestay", "lake-house", "2026-12-01", "2026-12-31")

test("what is free is asked for by days, and given as it came", async () => {
  const nights = [NIGHT, { date: "2026-12-02", price_fen: null, free: 0 }, { ...NIGHT, free: -1 }]
  world.replies[FREE] = [{ status: 200, body: { service_type: "homestay", offer_id: "lake-house", nights } }]
  assert.deepEqual((await run(free())).nights, nights)
  assert.ok(world.calls.at(-1).url.endsWith("/availability?from=2026-12-01&to=2026-12-31"))
  const sessions = [{ session: "2026-12-05T19:00", minutes: 120, price_fen: 12800, seats: 8, free: 0 }]
  world.replies["GET /catalogue/course/ink%2F1/availability"] = [{ status: 200, body: { sessions } }]
  const told = await run(pay.availability("course", "ink/1", "2026-12-01", "2026-12-31"))
  assert.deepEqual(told.sessions, sessions)
})

test("what is free, in a shape of another form, is no answer", async () => {
  const session = { session: "2026-12-05T19:00", price_fen: 100, free: 1 }
  for (const odd of [
    {},
    [],
    { nights: {} },
    { nights: [null] },
    { nights: [{ ...NIGHT, price_fen: "388" }] },
    { nights: [{ ...NIGHT, price_fen: 1.5 }] },
    { nights: [{ ...NIGHT, free: true }] },
    { nights: [NIGHT, { ...NIGHT, date: "" }] },
    { sessions: [{ ...session, price_fen: null }] },
    { sessions: [{ ...session, session: 5 }] },
  ]) {
    world.replies[FREE] = [{ status: 200, body: odd }]
    await refused(free(), "broken")
  }
})

test("what is free: answers that get lost, come late, or are 429 and 503 are asked for again", async () => {
  const ok = { status: 200, body: { nights: [NIGHT] } }
  for (const trouble of ["offline", "never", SLOWER, BUSY, { status: 504, body: "" }]) {
    world.replies[FREE] = [trouble, { ...ok, after: 9000 }]
    assert.deepEqual((await run(free())).nights, [NIGHT])
  }
  world.replies[FREE] = [BUSY]
  await assert.rejects(run(free()), {
    kind: "busy",
    call: "availability",
    text: "服务繁忙，暂时不能显示余量，请稍后重试",
  })
  world.replies[FREE] = [{ status: 404, body: { type: "urn:wxpay:not-found" } }]
  await assert.rejects(run(free()), { status: 404, text: "出了点问题，暂时不能显示余量，请稍后重试" })
})

// --- giving an order up

const BACK = "POST /orders/HSO1/refund-request"
const ANSWER = { order_sn: "HSO1", total_fen: 77600, refund_fen: 38800, needs_staff: false, state: "shown" }
const SECOND = { status: 409, body: { type: "urn:wxpay:order-state", order_status: "WAIT_USE" } }
const OTHER_SUM = {
  status: 409,
  body: { type: "urn:wxpay:price-changed", expected_refund_fen: 77600, refund_fen: 38800 },
}

test("what would come back is asked first, then it is done", async () => {
  world.replies[BACK] = [
    { status: 200, body: ANSWER },
    { status: 200, body: { ...ANSWER, state: "refunding" } },
  ]
  assert.deepEqual(await run(pay.refundRequest("HSO1", { dry_run: true })), ANSWER)
  const agreed = { expected_refund_fen: 0, reason: "行程有变" }
  assert.equal((await run(pay.refundRequest("HSO1", agreed))).state, "refunding")
  assert.deepEqual(
    world.calls.filter((call) => call.route === BACK).map((call) => call.body),
    [{ dry_run: true }, { dry_run: false, ...agreed }],
  )
})

test("two taps are one request, but never does one that asks stand for one that acts", async () => {
  world.replies[BACK] = [{ status: 200, body: ANSWER }]
  await run(Promise.all([pay.refundRequest("HSO1"), pay.refundRequest("HSO1")]))
  assert.equal(world.routes(BACK).length, 1)
  await run(Promise.all([pay.refundRequest("HSO1", { dry_run: true }), pay.refundRequest("HSO1")]))
  assert.equal(world.routes(BACK).length, 3)
})

for (const trouble of ["offline", "never", SLOWER, BUSY]) {
  test(`a request to refund whose answer is ${trouble.status || trouble} is sent again as it was`, async () => {
    world.replies[BACK] = [trouble, { status: 200, body: { ...ANSWER, state: "asked" } }]
    assert.equal((await run(pay.refundRequest("HSO1", { reason: "x" }))).state, "asked")
    const [first, second] = world.calls.filter((call) => call.route === BACK)
    assert.deepEqual(first.body, second.body)
  })
}

for (const [name, replies, options, text] of [
  ["refused", [SECOND], {}, "已支付，不能申请退款"],
  ["refused, only asked", [SECOND], { dry_run: true }, "已支付，不能申请退款"],
  [
    "a no after a lost answer, which may have been a yes",
    ["offline", SECOND],
    {},
    "已支付。订单的状态已经改变，不知道是否已申请退款，请刷新",
  ],
  ["a no after a lost answer, only asked", ["offline", SECOND], { dry_run: true }, "已支付，不能申请退款"],
  ["another sum", [OTHER_SUM], {}, "可退的金额已变动，这次没有申请退款，请核对新的金额"],
  [
    "another sum after a lost answer",
    ["offline", OTHER_SUM],
    {},
    "可退的金额已变动，不知道是否已申请退款，请核对新的金额",
  ],
  ["no network", ["offline"], {}, "网络不通，不知道是否已申请退款，请检查网络后重试"],
  ["no network, only asked", ["offline"], { dry_run: true }, "网络不通，暂时查不到可退的金额，请检查网络后重试"],
  ["429 without end", [SLOWER], {}, "操作太频繁，这次没有申请退款，请稍后重试"],
  ["503 without end", [BUSY], {}, "服务繁忙，不知道是否已申请退款，请稍后重试"],
  ["no order", [{ status: 404, body: { type: "urn:wxpay:not-found" } }], {}, "没有找到这个订单"],
  ["another shape", [{ status: 200, body: {} }], {}, "出了点问题，不知道是否已申请退款，请稍后重试"],
  [
    "a field",
    [{ status: 422, body: { type: "urn:wxpay:invalid", field: "body.reason" } }],
    {},
    "填写的内容有误，不能申请退款，请检查",
  ],
]) {
  test(`a refund that fails: ${name}`, async () => {
    world.replies[BACK] = replies
    await assert.rejects(run(pay.refundRequest("HSO1", options)), { text })
  })
}

test("what would come back, in a shape of another form, is no answer", async () => {
  for (const odd of [
    { refund_fen: "388" },
    { refund_fen: -1 },
    { needs_staff: null },
    { state: "" },
    { total_fen: null },
  ]) {
    world.replies[BACK] = [{ status: 200, body: { ...ANSWER, ...odd } }]
    await refused(pay.refundRequest("HSO1", { dry_run: true }), "broken")
  }
})

// --- the messages of each product

test("messages are asked for by product: of the one that is bought, and of the order that is paid", async () => {
  const templateIds = { homestay: ["H1", "H2", "H3"], course: ["C1", "H3"] }
  const client = world.client({ templateIds })
  const wanted = () => world.calls.filter((call) => call.route === "subscribe").map((call) => call.tmplIds)
  client.pay("HSO1") // an order that it has not read: of all, and no more than three
  assert.deepEqual(wanted().pop(), ["H1", "H2", "H3"])
  await run(client.buy({ service_type: "course", course_id: "ink" }))
  assert.deepEqual(wanted().pop(), ["C1", "H3"])
  world.replies["GET /orders"] = [{ status: 200, body: { orders: [{ ...ORDER, service_type: "course" }] } }]
  await run(client.orders())
  await run(client.pay("HSO1"))
  assert.deepEqual(wanted().pop(), ["C1", "H3"])
  const before = wanted().length
  world.orders.clear()
  await run(client.buy({ service_type: "voucher", pieces: 1 })) // a product without messages
  await run(world.client({ templateIds: {} }).pay("HSO1"))
  assert.equal(wanted().length, before)
})

// --- a server in trouble

test("503 at prepay: waits as long as it says, then says that no cashier was opened, and no more", async () => {
  world.replies["POST /orders/HSO1/prepay"] = [BUSY]
  const started = world.timers.now()
  await assert.rejects(run(pay.pay("HSO1")), {
    kind: "busy",
    call: "prepay",
    text: "服务繁忙，这次没有打开微信支付，请稍后重试",
  })
  assert.ok(world.timers.now() - started >= 6000)
  assert.equal(world.routes("prepay").length, 3)
})

test("503 and no network while it is checked: it goes on being checked", async () => {
  world.replies["GET /orders/HSO1/payment"] = [
    BUSY,
    "offline",
    "never",
    { status: 500, body: { type: "urn:wxpay:internal" } },
    { status: 200, body: PAID },
  ]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
})

test("WeChat does not accept the payment: a text of its own", async () => {
  world.replies["POST /orders/HSO1/prepay"] = [
    { status: 502, body: { type: "urn:wxpay:wechat-refused", code: "PARAM_ERROR" } },
  ]
  await refused(pay.pay("HSO1"), "refused")
  assert.equal(world.routes("prepay").length, 1)
})

test("an order that is not there, or is another's", async () => {
  world.replies["POST /orders/HSO1/prepay"] = [{ status: 404, body: { type: "urn:wxpay:not-found" } }]
  await refused(pay.pay("HSO1"), "missing")
})

test("data as text, headers in any case or none, a page in place of JSON", async () => {
  world.replies["GET /catalogue/homestay"] = [{ status: 200, body: '{"offers": [1]}' }]
  assert.deepEqual((await run(pay.offers("homestay"))).offers, [1])
  world.replies["GET /catalogue/homestay"] = [{ status: 200, body: "<html>sign in to this wifi</html>" }]
  await refused(pay.offers("homestay"), "broken")
  world.replies["GET /catalogue/homestay"] = [{ status: 503, body: "", header: { "retry-AFTER": "soon" } }]
  await refused(pay.offers("homestay"), "busy")
})

test("a storage that is full or broken does not stop a payment", async () => {
  for (const name of ["getStorageSync", "setStorageSync", "removeStorageSync"]) {
    world.wx[name] = () => {
      throw new Error(`${name}:fail exceed storage limit`)
    }
  }
  assert.equal((await run(pay.buy(STAY))).outcome, "paid")
  assert.deepEqual([world.logins, world.orders.size], [1, 1])
})

// --- the server asks for patience

test("429 at prepay is waited out by itself, and the guest is told to wait", async () => {
  world.replies["POST /orders/HSO1/prepay"].unshift(SLOWER)
  const steps = []
  const told = await run(pay.pay("HSO1", (step, more) => steps.push([step, more && more.ms])))
  assert.equal(told.outcome, "paid")
  const waits = steps.filter(([step]) => step === "wait")
  assert.equal(waits.length, 1)
  assert.ok(waits[0][1] >= 5000 && waits[0][1] <= 7000)
  const [first, second] = world.calls.filter((call) => call.route.endsWith("prepay"))
  assert.ok(second.at - first.at >= 5000)
})

for (const [name, header] of [
  ["5 seconds", "5"],
  ["an hour", "3600"],
  ["a day as a date", "Fri, 15 Jan 2100 08:00:00 GMT"],
  ["nothing", undefined],
  ["nonsense", "soon"],
]) {
  test(`429 at prepay that does not end, Retry-After ${name}: at most ten seconds, then a true text`, async () => {
    world.replies["POST /orders/HSO1/prepay"] = [{ ...SLOWER, header: { "retry-after": header } }]
    const started = world.timers.now()
    await assert.rejects(run(pay.pay("HSO1")), { kind: "often", text: "操作太频繁，这次没有打开微信支付，请稍后重试" })
    assert.ok(world.timers.now() - started <= 10_000)
    assert.ok(world.routes("prepay").length <= 3)
    assert.deepEqual(world.routes("cashier"), [])
  })
}

test("503 with an hour of Retry-After does not hold the guest for an hour, whatever the call", async () => {
  const hour = { ...BUSY, header: { "Retry-After": "3600" } }
  for (const route of ["GET /catalogue/homestay", "POST /orders", "POST /login"]) world.replies[route] = [hour]
  const started = world.timers.now()
  await refused(pay.offers("homestay"), "busy")
  world.replies["POST /login"] = [{ status: 200, body: { token: "t", expires_in: 7200 } }]
  await refused(pay.offers("homestay"), "busy")
  await refused(pay.createOrder(STAY), "busy")
  world.replies["GET /orders/HSO1/payment"] = [hour]
  const told = await run(pay.look("HSO1"))
  assert.deepEqual([told.outcome, told.poll_after_ms], ["waiting", 10_000])
  assert.equal(world.timers.now(), started)
})

test("too many orders: said at once, not tried again, and the next try has the same key", async () => {
  const [answer] = world.replies["POST /orders"]
  world.replies["POST /orders"] = [
    { status: 429, body: { type: "urn:wxpay:too-many-orders" }, header: { "Retry-After": "900" } },
  ]
  await assert.rejects(run(pay.buy(STAY)), {
    kind: "many",
    call: "create",
    text: "短时间内下单太多，订单没有提交，没有扣款，请稍后重试",
  })
  assert.equal(world.routes("POST /orders").length, 1)
  world.replies["POST /orders"] = [answer]
  await run(pay.buy(STAY))
  assert.equal(
    new Set(world.calls.filter((call) => call.route === "POST /orders").map((call) => call.header["Idempotency-Key"]))
      .size,
    1,
  )
})

test("an order that may exist from an earlier try is never told as not charged, even when the next try is refused", async () => {
  const [answer] = world.replies["POST /orders"]
  const many = { status: 429, body: { type: "urn:wxpay:too-many-orders" } }
  const answerLost = (options) => {
    answer(options)
    return "offline"
  }
  world.replies["POST /orders"] = [answerLost, many]
  await assert.rejects(run(pay.buy(STAY)), (error) => error.moment === "unknown" && !/没有扣款/.test(error.text))
  await assert.rejects(
    run(world.client().buy(STAY)),
    (error) => error.moment === "unknown" && !/没有扣款/.test(error.text),
  )
})

test("polls follow the pauses of the server as they grow", async () => {
  const pauses = [300, 600, 1200, 2000, 5000, 9000]
  world.replies["GET /orders/HSO1/payment"] = [
    ...pauses.map((ms) => ({ status: 200, body: { ...UNPAID, poll_after_ms: ms } })),
    { status: 200, body: PAID },
  ]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "paid")
  const looks = world.calls.filter((call) => call.route.endsWith("/payment")).map((call) => call.at)
  assert.deepEqual(
    looks.slice(1).map((at, n) => at - looks[n]),
    pauses,
  )
})

test("poll_after_ms null is the end of polling; nonsense in its place is neither a rush nor for ever", async () => {
  world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: { ...UNPAID, poll_after_ms: null } }]
  assert.equal((await run(pay.pay("HSO1"))).outcome, "waiting")
  assert.equal(world.routes("payment").length, 1)
  for (const odd of [0, -5, "soon", NaN, undefined, 1e12]) {
    world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: { ...UNPAID, poll_after_ms: odd } }]
    const told = await run(pay.look("HSO1"))
    assert.ok(told.poll_after_ms >= 200 && told.poll_after_ms <= 3600_000, String(odd))
  }
})

// --- refunds outside, orders that are over

test("a refund that the shop checks: paid, said so, no code", async () => {
  for (const order_status of ["WAIT_PAY", "WAIT_USE", "USED", "EXPIRED"]) {
    world.replies["GET /orders/HSO1/payment"] = [
      { status: 200, body: { ...PAID, order_status, on_hold: true, poll_after_ms: 30_000 } },
    ]
    const told = await run(pay.pay("HSO1"))
    assert.deepEqual(
      [told.outcome, told.text, told.redeem_code, told.poll_after_ms],
      ["hold", "已支付，商家正在核实退款", null, 30_000],
    )
  }
  world.replies["GET /orders/HSO1/payment"] = [
    { status: 200, body: { ...PAID, order_status: "REFUNDED", on_hold: true } },
  ]
  assert.equal((await run(pay.look("HSO1"))).text, "订单已退款")
})

test("the code of an order that is used, expired or refunded is not handed on", async () => {
  for (const order_status of ["USED", "EXPIRED", "REFUNDED", "CANCELLED"]) {
    world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: { ...PAID, order_status } }]
    assert.equal((await run(pay.look("HSO1"))).redeem_code, null)
  }
})

test("a status that this version does not know is not called closed", async () => {
  world.replies["GET /orders/HSO1/payment"] = [{ status: 200, body: { ...PAID, order_status: "CONFIRMED" } }]
  assert.equal((await run(pay.look("HSO1"))).outcome, "waiting")
})

for (const [name, problem, text] of [
  ["paid, by its status", { type: "urn:wxpay:order-state", order_status: "WAIT_USE" }, "已支付，不能取消"],
  ["found paid by this very cancel", { type: "urn:wxpay:order-state", order_status: "WAIT_PAY" }, "已支付，不能取消"],
  ["refunded", { type: "urn:wxpay:order-state", order_status: "REFUNDED" }, "订单已退款，不能取消"],
  ["no word of it", { type: "urn:wxpay:order-state" }, "订单的状态已经改变，不能取消，请刷新"],
]) {
  test(`an order that cannot be cancelled: ${name}`, async () => {
    world.replies["POST /orders/HSO1/cancel"] = [{ status: 409, body: problem }]
    await assert.rejects(run(pay.cancel("HSO1")), { kind: "state", call: "cancel", text })
    assert.equal(world.routes("cancel").length, 1)
  })
}

test("an answer of another shape is no answer: no cashier opens over it, no page gets it", async () => {
  for (const odd of [{}, [], { ...FIELDS, paySign: null }, { ...FIELDS, package: 1 }]) {
    world.replies["POST /orders/HSO1/prepay"] = [{ status: 200, body: odd }]
    await refused(pay.pay("HSO1"), "broken")
  }
  assert.deepEqual(world.routes("cashier"), [])
  for (const odd of [{}, [], { order_sn: "HSO1" }, { orders: null }]) {
    world.replies["GET /orders/HSO1"] =
      world.replies["GET /orders"] =
      world.replies["GET /catalogue/homestay"] =
        [{ status: 200, body: odd }]
    for (const ask of [() => pay.order("HSO1"), () => pay.orders(), () => pay.offers("homestay")]) {
      await refused(ask(), "broken")
    }
  }
  world.replies["POST /login"] = [{ status: 200, body: { token: "" } }]
  await refused(
    world.client({ timers: { ...world.timers, now: () => world.timers.now() + 1e10 } }).offers("homestay"),
    "signin",
  )
})

test("calls that share a failed sign-in each say what is true for them", async () => {
  world.replies["POST /login"] = ["offline"]
  world.replies["GET /orders/HSO1"] = [{ status: 200, body: ORDER }]
  const said = await run(
    Promise.allSettled([pay.offers("homestay"), pay.order("HSO1"), pay.buy(STAY), pay.pay("HSO1")]),
  )
  assert.deepEqual(
    said.map((one) => one.reason.text),
    [
      "网络不通，暂时不能显示在售内容，请检查网络后重试",
      "网络不通，暂时不能显示订单，请检查网络后重试",
      "网络不通，订单没有提交，没有扣款，请检查网络后重试",
      "网络不通，这次没有打开微信支付，请检查网络后重试",
    ],
  )
})

test("no timer is left behind by calls that have been answered", async () => {
  await run(pay.buy(STAY))
  for (let n = 0; n < 20; n++) await run(pay.look("HSO1"))
  assert.ok(world.timers.waiting.length <= 1, `${world.timers.waiting.length}`) // the look at a cashier that never says how it ended
})
