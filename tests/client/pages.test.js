// The pages' own logic, over the world's time: how they follow an order, and what they do when tapped twice.
const assert = require("node:assert/strict")
const { beforeEach, test } = require("node:test")
const format = require("../../miniprogram/format.js")
const TEXTS = require("../../miniprogram/texts.js")
const { World, FIELDS } = require("./world.js")

const STAY = {
  homestay_id: "lake-house",
  title: "小屋",
  start_date: "2026-12-01",
  end_date: "2026-12-03",
  nights: 2,
  people: 2,
  remark: "",
  homestay_total_fen: 100,
  food_total_fen: 0,
}
const ORDER = {
  order_sn: "HSO1",
  status: "WAIT_USE",
  total_fen: 100,
  expires_at: "2026-12-01T00:00:00Z",
  closing: false,
  redeem_code: "ABCDEFGHJK",
  refunded_fen: 0,
  refunding_fen: 0,
  service_type: "homestay",
  purchase: STAY,
}
const HOME = {
  homestay_id: "lake-house",
  title: "小屋",
  subtitle: "",
  price_fen: 100,
  from_fen: 100,
  market_price_fen: 0,
  food_price_fen: 0,
  capacity: 2,
}
const PAYMENT = {
  order_sn: "HSO1",
  order_status: "WAIT_PAY",
  payment_status: "NOTPAY",
  redeem_code: null,
  poll_after_ms: 5000,
}

let world
let start
let order // as the server has it
let payment

beforeEach(() => {
  world = new World()
  order = { ...ORDER }
  payment = { ...PAYMENT }
  Object.assign(world.replies, {
    "GET /orders/HSO1": [() => ({ status: 200, body: order })],
    "GET /orders/HSO1/payment": [() => ({ status: 200, body: payment })],
    "GET /orders": [() => ({ status: 200, body: { orders: [order], next: "2026-11-01T00:00:00Z" } })],
    "GET /catalogue/homestay": [{ status: 200, body: { offers: [HOME] } }],
    "POST /orders": [() => ({ status: 201, body: { ...order, status: "WAIT_PAY" } })],
    "POST /orders/HSO1/prepay": [{ status: 200, body: FIELDS }],
  })
  start = world.launch()
})

const pass = (ms) => world.timers.advance(ms)
const asked = (route = "GET /orders/HSO1") => world.calls.filter((call) => call.route === route)
const openOrder = async () => {
  const page = start.open("order", { order_sn: "HSO1" })
  await pass(0)
  return page
}

for (const [name, change, word] of [
  ["redeemed", { status: "USED" }, "已入住"],
  ["refunded", { status: "REFUNDED", refunded_fen: 100 }, "已退款"],
  ["expired", { status: "EXPIRED" }, "已过期"],
  ["on hold", { on_hold: true }, "已支付，商家正在核实退款"],
  ["wholly on its way back", { refunding_fen: 100 }, "退款处理中"],
  ["partly back, the rest on its way", { refunding_fen: 40, refunded_fen: 60 }, "退款处理中"],
  ["given back by hand", { by_hand_fen: 100 }, "商家已另行退还"],
  ["given up, and on its way back", { given_up: true, redeem_code: null, refunding_fen: 100 }, "已退订"],
  ["given up, though the server still sends a code", { given_up: true }, "已退订"],
  ["given up and expired", { given_up: true, status: "EXPIRED" }, "已退订"],
  ["given up and refunded", { given_up: true, status: "REFUNDED", refunded_fen: 100 }, "已退款"],
  ["given up and on hold", { given_up: true, on_hold: true }, "已支付，商家正在核实退款"],
  ["stuck on its way back", { stuck_fen: 60, refunded_fen: 40 }, "微信退款没有成功，由商家处理"],
  ["not good for a reason of the server alone", { redeem_code: null }, "待入住"],
]) {
  test(`the code goes away when the order is ${name}, on the order page and on the result page`, async () => {
    payment = { ...payment, order_status: "WAIT_USE" }
    const pages = [await openOrder(), start.open("result", { order_sn: "HSO1" })]
    await pass(1000)
    for (const page of pages) assert.equal(page.data.order.code, "ABCD EFG HJK")
    Object.assign(order, change)
    await pass(3000)
    for (const page of pages) {
      assert.deepEqual([page.data.order.code, page.data.order.qr, page.data.order.word], ["", "", word])
    }
  })
}

test("a part that is refunded leaves the code", async () => {
  order.refunded_fen = 40
  const page = await openOrder()
  assert.deepEqual(
    [page.data.order.code, page.data.order.refunded, page.data.order.refunding],
    ["ABCD EFG HJK", "¥0.40", ""],
  )
})

test("an order without the newer fields is shown", async () => {
  for (const name of ["closing", "refunded_fen", "refunding_fen"]) delete order[name]
  const page = await openOrder()
  assert.deepEqual(
    [page.data.order.code, page.data.order.hold, page.data.order.closing, page.data.note],
    ["ABCD EFG HJK", false, false, ""],
  )
})

test("a page follows every few seconds, and more seldom as time goes by", async () => {
  await openOrder()
  await pass(30 * 60_000)
  const times = asked().map((call) => call.at)
  const gaps = times.slice(1).map((at, n) => at - times[n])
  assert.deepEqual([...new Set(gaps)], [3000, 5000, 10_000])
  assert.ok(asked().length <= 1 + 40 + 96 + 120)
})

for (const [name, change] of [
  ["used", { status: "USED" }],
  ["cancelled", { status: "CANCELLED" }],
  ["refunded", { status: "REFUNDED", refunded_fen: 100 }],
  ["expired", { status: "EXPIRED" }],
]) {
  test(`an order that is ${name} is not followed any more`, async () => {
    Object.assign(order, change)
    await openOrder()
    await pass(3600_000)
    assert.equal(asked().length, 1)
    assert.deepEqual(world.timers.waiting, [])
  })
}

test("a used order whose refund is on its way is followed to its end", async () => {
  Object.assign(order, { status: "USED", refunding_fen: 100 })
  const page = await openOrder()
  assert.equal(page.data.order.refunding, "¥1")
  Object.assign(order, { status: "REFUNDED", refunding_fen: 0, refunded_fen: 100 })
  await pass(3000)
  assert.deepEqual([page.data.order.refunding, page.data.order.refunded], ["", "¥1"])
  await pass(3600_000)
  assert.equal(asked().length, 2)
})

test("an order on hold is looked at seldom, until it is decided", async () => {
  order.on_hold = true
  const page = await openOrder()
  await pass(300_000)
  assert.equal(asked().length, 11)
  order.on_hold = false
  await pass(30_000)
  assert.equal(page.data.order.code, "ABCD EFG HJK")
  order.on_hold = true
  order.poll_after_ms = 60_000
  await pass(3000)
  const before = asked().length
  await pass(120_000)
  assert.equal(asked().length - before, 2)
})

for (const event of ["onHide", "onUnload"]) {
  test(`nothing is asked after ${event}, and no timer stays; not even for an answer that is on its way`, async () => {
    const page = await openOrder()
    await pass(1000)
    page[event]()
    assert.deepEqual(world.timers.waiting, [])
    await pass(60_000)
    assert.equal(asked().length, 1)
    world.replies["GET /orders/HSO1"].unshift({ status: 200, body: { ...order, status: "USED" }, after: 2000 })
    page.onShow()
    await pass(1000)
    page[event]()
    await pass(60_000)
    assert.equal(asked().length, 2)
    assert.equal(page.data.order.status, "WAIT_USE")
    assert.deepEqual(world.timers.waiting, [])
  })
}

test("a page that is shown twice, refreshed and shown again has one timer", async () => {
  const page = await openOrder()
  for (let n = 0; n < 5; n++) page.onShow()
  page.onRetry()
  await page.onPullDownRefresh()
  await pass(0)
  assert.equal(world.timers.waiting.length, 1)
  const before = asked().length
  await pass(30_000)
  assert.equal(asked().length - before, 10)
})

test("of two pages of one order only the visible one asks", async () => {
  const first = await openOrder()
  first.onHide()
  await openOrder()
  world.calls.length = 0
  await pass(30_000)
  assert.equal(asked().length, 10)
})

test("an answer that is overtaken does not bring the code back", async () => {
  const page = await openOrder()
  world.replies["GET /orders/HSO1"].unshift({ status: 200, body: { ...order }, after: 4000 })
  await pass(3000) // the slow look is under way
  order.status = "USED"
  await page.onPullDownRefresh()
  await pass(0)
  assert.equal(page.data.order.code, "")
  await pass(10_000)
  assert.equal(page.data.order.code, "")
})

test("without network the page says since when it knows, and takes it back when it knows again", async () => {
  const page = await openOrder()
  const since = world.timers.now()
  const at = new Date(since + 8 * 3600_000).toISOString().slice(5, 19).replace("T", " ")
  world.failing = () => "offline"
  await pass(3000)
  assert.equal(page.data.note, `暂时不能更新。以下信息截至北京时间 ${at}`)
  await pass(3600_000)
  assert.equal(page.data.note, `暂时不能更新。以下信息截至北京时间 ${at}`)
  assert.equal(page.data.order.code, "ABCD EFG HJK") // a guest at the counter without network needs it
  assert.ok(asked().length < 130)
  world.failing = () => undefined
  order.status = "USED"
  await pass(30_000)
  assert.deepEqual([page.data.note, page.data.order.code], ["", ""])
})

test("an answer that does not come is told after eight seconds, before it has failed", async () => {
  const page = await openOrder()
  world.failing = () => "never"
  await pass(7900)
  assert.equal(page.data.note, "")
  await pass(200)
  assert.match(page.data.note, /^暂时不能更新。以下信息截至北京时间/)
})

test("a page that comes back after an hour says at once how old it is, if no answer comes", async () => {
  const page = await openOrder()
  page.onHide()
  await pass(3600_000)
  world.failing = () => "never"
  page.onShow()
  await pass(0)
  assert.match(page.data.note, /^暂时不能更新/)
})

test("an order that is not there any more ends the following", async () => {
  world.replies["GET /orders/HSO1"] = [{ status: 404, body: { type: "urn:wxpay:not-found" } }]
  const page = await openOrder()
  assert.equal(page.data.note, "没有找到这个订单")
  await pass(3600_000)
  assert.equal(asked().length, 1)
})

test("an order of a shape or a status that this version does not know breaks no page", async () => {
  order.status = "CONFIRMED"
  const page = await openOrder()
  assert.deepEqual([page.data.order.word, page.data.order.code], ["暂时不能显示订单的状态", ""])
  delete order.purchase
  await page.onRetry()
  assert.ok(page.data.note)
  const list = start.open("orders")
  await pass(0)
  assert.equal(list.data.message, "出了点问题，请稍后重试")
})

test("an order of a product that this version does not know is shown by its number", async () => {
  order.service_type = "spa"
  const page = await openOrder()
  const { title, when, word, total } = page.data.order
  assert.deepEqual([title, when, word, total], ["HSO1", "", "待使用", "¥1"])
})

// --- giving an order up

const BACK = "POST /orders/HSO1/refund-request"
const LIVE = { given_up: false, refund_request: null, total_fen: 77600 }
const UNTIL = "2027-01-20T10:00:00Z"
const ANSWER = { order_sn: "HSO1", total_fen: 77600, refund_fen: 77600, needs_staff: false, state: "shown" }
const mayRefund = (more, done) => {
  Object.assign(order, LIVE, { purchase: { ...STAY, free_until: UNTIL } })
  world.replies[BACK] = [
    ({ data }) => {
      const { dry_run, expected_refund_fen } = JSON.parse(data)
      const told = { ...ANSWER, ...more }
      if (dry_run) return { status: 200, body: told }
      if (expected_refund_fen !== told.refund_fen) {
        const sums = { expected_refund_fen, refund_fen: told.refund_fen }
        return { status: 409, body: { type: "urn:wxpay:price-changed", ...sums } }
      }
      Object.assign(order, done.order)
      return { status: 200, body: { ...ANSWER, ...more, state: done.state } }
    },
  ]
}
const GIVEN = { state: "refunding", order: { given_up: true, redeem_code: null, refunding_fen: 77600 } }
const sent = () => asked(BACK).map(({ body }) => (body.dry_run ? "shown" : body.expected_refund_fen))

test("until when all comes back stands on the page, in Beijing's time, while it can be given up", async () => {
  mayRefund({}, GIVEN)
  const page = await openOrder()
  assert.deepEqual([page.data.order.free, page.data.order.refund], ["1月20日 18:00 前取消全额退款", "取消预订"])
  for (const change of [
    { status: "USED" },
    { status: "WAIT_USE", given_up: true },
    { given_up: false, on_hold: true },
  ]) {
    Object.assign(order, change)
    page.onRetry()
    await pass(0)
    assert.deepEqual([page.data.order.free, page.data.order.refundable], ["", false])
  }
  Object.assign(order, { status: "WAIT_PAY", on_hold: false })
  page.onRetry()
  await pass(0)
  assert.deepEqual([page.data.order.free, page.data.order.refundable], ["1月20日 18:00 前取消全额退款", false])
  order.status = "WAIT_USE"
  page.onHide()
  await pass(10 * 24 * 3600_000)
  page.onShow()
  await pass(0)
  assert.equal(page.data.order.refund, "申请退款")
})

for (const [name, change] of [
  ["a refund is on its way", { refunding_fen: 100 }],
  ["all of it has come back", { refunded_fen: 77600 }],
  ["the shop has been asked", { refund_request: { state: "asked", refund_fen: 0, reason: null } }],
  ["the server does not know of giving up", { given_up: undefined }],
]) {
  test(`there is no button to give an order up when ${name}`, async () => {
    mayRefund({}, GIVEN)
    Object.assign(order, change)
    assert.equal((await openOrder()).data.order.refundable, false)
  })
}

test("giving up: what comes back is shown first, then it is done, and the page says what is true", async () => {
  mayRefund({}, GIVEN)
  const page = await openOrder()
  page.onRefund()
  page.onRefund()
  await pass(0)
  const [{ title, content, confirmText, cancelText }] = world.asked
  assert.deepEqual(
    [title, content, confirmText, cancelText],
    ["取消预订", "全额退款 ¥776，原路退回。预订随即取消。", "确定", "再想想"],
  )
  assert.deepEqual([world.asked.length, sent()], [1, ["shown", 77600]])
  const { word, wish, code, refundable } = page.data.order
  assert.deepEqual([word, wish, code, refundable], ["已退订", "已退订，¥776 正在原路退回", "", false])
  Object.assign(order, { status: "REFUNDED", refunding_fen: 0, refunded_fen: 77600 })
  await pass(3000)
  // The status and the sum say all of it.
  const { word: refunded, wish: rest, refunded: sum } = page.data.order
  assert.deepEqual([refunded, rest, sum], ["已退款", "", "¥776"])
})

test("who thinks better of it has given nothing up", async () => {
  mayRefund({}, GIVEN)
  world.agrees = () => false
  const page = await openOrder()
  page.onRefund()
  await pass(0)
  assert.deepEqual([sent(), page.data.order.code, page.data.busy], [["shown"], "ABCD EFG HJK", ""])
})

for (const [more, title, content] of [
  [{ refund_fen: 38800 }, "取消预订", "退款 ¥388（共 ¥776），原路退回。预订随即取消。"],
  [{ refund_fen: 0 }, "取消预订", "按规定不退款。预订随即取消。"],
  [{ refund_fen: 38800, needs_staff: true }, "申请退款", "请商家退款 ¥388（共 ¥776）。商家同意之前预订仍然有效。"],
  [{ refund_fen: 0, needs_staff: true }, "申请退款", "按规定不退款，可以请商家决定。商家同意之前预订仍然有效。"],
]) {
  test(`what is asked before: ${content}`, async () => {
    mayRefund(more, GIVEN)
    world.agrees = () => false
    const page = await openOrder()
    page.onRefund()
    await pass(0)
    assert.deepEqual([world.asked[0].title, world.asked[0].content], [title, content])
  })
}

test("a sum that changes while the question stands there is asked about anew: nothing is given up for less than was agreed", async () => {
  mayRefund({}, GIVEN)
  const page = await openOrder()
  world.agrees = () => {
    if (world.asked.length === 1) mayRefund({ refund_fen: 0 }, GIVEN)
    return world.asked.length === 1
  }
  page.onRefund()
  await pass(0)
  assert.deepEqual(
    world.asked.map(({ content }) => content),
    ["全额退款 ¥776，原路退回。预订随即取消。", "退款金额有变化。按规定不退款。预订随即取消。"],
  )
  assert.deepEqual([sent(), page.data.order.code], [["shown", 77600, "shown"], "ABCD EFG HJK"])
  assert.equal(page.data.message, "")
})

test("another sum, and then no answer: nothing is asked anew, and the failure is told", async () => {
  mayRefund({}, GIVEN)
  const page = await openOrder()
  world.agrees = () => {
    mayRefund({ refund_fen: 0 }, GIVEN)
    const [answer] = world.replies[BACK]
    world.replies[BACK] = [
      (options) => (JSON.parse(options.data).dry_run ? { status: 503, body: "" } : answer(options)),
    ]
    return true
  }
  page.onRefund()
  await pass(60_000)
  assert.equal(page.data.message, "已支付。服务繁忙，暂时查不到可退的金额，请稍后重试")
  assert.deepEqual([world.asked.length, page.data.order.code, page.data.busy], [1, "ABCD EFG HJK", ""])
})

test("given up on another phone meanwhile: nothing is asked, the page shows how it is", async () => {
  mayRefund({ state: "refunding" }, GIVEN)
  const page = await openOrder()
  Object.assign(order, GIVEN.order)
  page.onRefund()
  await pass(0)
  const { word, wish, code } = page.data.order
  assert.deepEqual([word, wish, code], ["已退订", "已退订，¥776 正在原路退回", ""])
  assert.deepEqual([world.asked, sent()], [[], ["shown"]])
})

const LONG = "航班取消了，要到下周才能飞，这次去不成了，十分抱歉"

for (const [what, types, reason, fields] of [
  ["with a reason", ["  航班取消 "], "航班取消", [""]],
  ["without one", [" "], undefined, [""]],
  ["on a phone whose dialogs have no field", [undefined], undefined, [""]],
  ["with one that is too long, made shorter", [LONG, "航班取消了"], "航班取消了", ["", LONG]],
  ["with one of 24 characters, each of which is two in JavaScript", ["🌧".repeat(24)], "🌧".repeat(24), [""]],
]) {
  test(`the shop is asked ${what}`, async () => {
    mayRefund({ refund_fen: 38800, needs_staff: true }, { state: "asked", order: {} })
    world.types = ["", ...types] // the first dialog has no field
    const page = await openOrder()
    page.onRefund()
    await pass(0)
    const { body } = asked(BACK).at(-1)
    assert.deepEqual([body.expected_refund_fen, body.reason], [38800, reason])
    const [, ...why] = world.asked
    assert.deepEqual(
      why.map(({ content, editable }) => [content, editable]),
      fields.map((content) => [content, true]),
    )
    assert.match(why.at(-1).title, fields.length > 1 ? /^原因最多 24 个字$/ : /^想对商家说明原因吗/)
    page.onUnload()
  })
}

test("who does not send his reason has asked for nothing", async () => {
  mayRefund({ refund_fen: 38800, needs_staff: true }, GIVEN)
  const page = await openOrder()
  world.agrees = () => world.asked.length === 1
  page.onRefund()
  await pass(0)
  assert.deepEqual([world.asked.length, sent(), page.data.order.wish], [2, ["shown"], ""])
})

test("the shop is asked: the booking stays valid, the page follows until the shop has decided", async () => {
  const request = { state: "asked", refund_fen: 38800, reason: null, asked_at: "2027-01-15T08:00:00Z" }
  mayRefund({ refund_fen: 38800, needs_staff: true }, { state: "asked", order: { refund_request: request } })
  const page = await openOrder()
  page.onRefund()
  await pass(0)
  const valid = "已请商家退款 ¥388，等待商家决定，在此之前预订仍然有效"
  const seen = () => [page.data.order.wish, page.data.order.code, page.data.order.refundable]
  assert.deepEqual(seen(), [valid, "ABCD EFG HJK", false])
  // Not even when the stay has ended meanwhile.
  order.status = "EXPIRED"
  await pass(3000)
  assert.deepEqual(seen(), ["已请商家退款 ¥388，等待商家决定", "", false])
  const before = asked().length
  await pass(60_000)
  assert.ok(asked().length - before >= 10)
  order.status = "WAIT_USE"
  order.refund_request = { ...request, state: "declined", reason: "当天不退" }
  await pass(3000)
  assert.deepEqual(seen(), ["商家没有同意退款：当天不退", "ABCD EFG HJK", true])
  order.refund_request = { ...request, state: "declined" }
  await pass(3000)
  assert.equal(page.data.order.wish, "商家没有同意退款")
  const granted = { ...request, state: "granted" }
  Object.assign(order, GIVEN.order, { refunding_fen: 38800, refund_request: granted })
  await pass(3000)
  assert.deepEqual(seen(), ["商家已同意退款，¥388 正在原路退回", "", false])
  Object.assign(order, { status: "REFUNDED", refunding_fen: 0, refunded_fen: 77600 })
  await pass(3000)
  assert.deepEqual(seen(), ["商家已同意退款", "", false])
  Object.assign(order, { status: "WAIT_USE", refunded_fen: 0 })
  page.onRetry()
  order.refund_request = { ...request, state: "a state of tomorrow" }
  Object.assign(order, { given_up: false, refunding_fen: 0, redeem_code: "ABCDEFGHJK" })
  await pass(3000)
  assert.deepEqual(seen(), ["", "ABCD EFG HJK", true])
})

test("given up, and the order cannot be read afterwards: the page says so all the same, and shows no code", async () => {
  mayRefund({}, { state: "refunding", order: {} })
  const page = await openOrder()
  world.failing = (route) => (route === "GET /orders/HSO1" ? "offline" : undefined)
  page.onRefund()
  await pass(0)
  const { wish, code, qr, refundable } = page.data.order
  assert.deepEqual([wish, code, qr, refundable], ["已退订，¥776 正在原路退回", "", "", false])
  assert.match(page.data.note, /^暂时不能更新/)
})

test("an answer that got lost may have been a yes: the page says that it is not known, and shows how it is", async () => {
  mayRefund({}, GIVEN)
  const [answer] = world.replies[BACK]
  const page = await openOrder()
  let tries = 0
  const done = (options) => {
    if (JSON.parse(options.data).dry_run) return answer(options)
    if (tries++) return { status: 409, body: { type: "urn:wxpay:order-state", order_status: "WAIT_USE" } }
    answer(options)
    return "offline"
  }
  world.replies[BACK] = [done]
  page.onRefund()
  await pass(5000)
  assert.equal(tries, 2)
  assert.equal(page.data.message, "已支付。订单的状态已经改变，不知道是否已申请退款，请刷新")
  assert.deepEqual([page.data.order.word, page.data.order.code], ["已退订", ""])
})

test("what would come back cannot be looked up: it is said, and nothing is asked", async () => {
  mayRefund({}, GIVEN)
  const page = await openOrder()
  world.replies[BACK] = [{ status: 503, body: "" }]
  page.onRefund()
  await pass(60_000)
  assert.equal(page.data.message, "已支付。服务繁忙，暂时查不到可退的金额，请稍后重试")
  assert.deepEqual([world.asked, page.data.busy], [[], ""])
})

test("who has left the page is not asked any more", async () => {
  mayRefund({}, GIVEN)
  const page = await openOrder()
  page.onRefund()
  page.onUnload()
  await pass(1000)
  assert.deepEqual(world.asked, [])
})

test("the buttons of a dialog have at most four characters in every language, or WeChat does not open it", async () => {
  for (const language of ["zh_CN", "en"]) {
    world.language = language
    mayRefund({}, GIVEN)
    order.given_up = false
    order.redeem_code = "ABCDEFGHJK"
    start = world.launch()
    const page = await openOrder()
    world.replies["POST /orders/HSO1/cancel"] = [{ status: 200, body: order }]
    page.onCancel()
    await pass(0)
    page.onRefund()
    await pass(0)
    page.onUnload()
  }
  assert.equal(world.asked.length, 4)
  for (const { confirmText, cancelText } of world.asked) {
    assert.ok([confirmText, cancelText].every((text) => text.length > 0 && text.length <= 4))
  }
})

// --- how sums, days and times are written

test("sums, days and times are written as people read them, in Beijing's time", () => {
  assert.deepEqual([38800, 38805, 1, 0, 10 ** 11 - 1].map(format.yuan), [
    "¥388",
    "¥388.05",
    "¥0.01",
    "¥0",
    "¥999999999.99",
  ])
  const { zh, en } = TEXTS
  assert.deepEqual(
    [zh, en].map((t) => format.dayWords("2026-12-05", t)),
    ["12月5日", "5 Dec"],
  )
  assert.deepEqual(
    [zh, en].map((t) => format.sessionWords("2026-12-05T19:00", t)),
    ["12月5日 周六 19:00", "Sat 5 Dec 19:00"],
  )
  assert.deepEqual(
    [zh, en].map((t) => format.instantWords("2026-11-30T16:30:00Z", t)),
    ["12月1日 00:30", "1 Dec 00:30"],
  )
  assert.deepEqual([format.later("2026-12-30", 3), format.nightsOf("2026-12-30", "2027-01-02")], ["2027-01-02", 3])
})

// --- the result page

const openResult = async () => {
  const page = start.open("result", { order_sn: "HSO1" })
  await pass(0)
  return page
}
const paying = async (end) => {
  world.cashier = [end]
  await world.timers.run(start.pay.pay("HSO1"))
}

test("paid, and the order cannot be shown: it says so, and a retry shows it", async () => {
  payment = { ...payment, order_status: "WAIT_USE", payment_status: "SUCCESS", poll_after_ms: null }
  await paying("ok")
  for (const [failure, note] of [
    ["offline", "已支付。网络不通，暂时不能显示订单，请检查网络后重试"],
    [{ status: 503, body: "" }, "已支付。服务繁忙，暂时不能显示订单，请稍后重试"],
    [{ status: 403, body: { message: "Forbidden" } }, "已支付。微信登录没有成功，暂时不能显示订单，请稍后重试"],
  ]) {
    world.failing = (route) => (route === "GET /orders/HSO1" ? failure : undefined)
    const page = await openResult()
    assert.deepEqual(
      [page.data.outcome, page.data.text, page.data.note, page.data.retry],
      ["paid", "支付成功", note, true],
    )
    world.failing = () => undefined
    await world.timers.run(page.onRetry())
    assert.deepEqual([page.data.note, page.data.retry, page.data.order.code], ["", false, "ABCD EFG HJK"])
    page.onUnload()
  }
})

test("its address proves nothing: opened anew by WeChat, the page asks", async () => {
  const anew = world.launch().open("result", { order_sn: "HSO1", outcome: "paid" })
  assert.equal(anew.data.outcome, "waiting")
  order.status = "REFUNDED"
  payment = { ...payment, order_status: "REFUNDED", poll_after_ms: null }
  await pass(0)
  assert.deepEqual([anew.data.outcome, anew.data.text], ["closed", "订单已退款"])
})

test("a cashier that said cancel although the guest has paid: the page learns it by itself", async () => {
  order = { ...order, status: "WAIT_PAY", redeem_code: null }
  await paying("cancel")
  const page = await openResult()
  assert.deepEqual([page.data.outcome, page.data.text], ["cancelled", "还没有收到付款，订单为您保留，可以继续支付"])
  order = { ...ORDER }
  payment = { ...payment, order_status: "WAIT_USE", payment_status: "SUCCESS" }
  await pass(10_000)
  assert.deepEqual([page.data.outcome, page.data.order.code], ["paid", "ABCD EFG HJK"])
})

test("it polls as the server says, stops when the server says so, and offers a retry", async () => {
  const page = await openResult()
  payment.poll_after_ms = 60_000
  await pass(5000)
  const before = asked("GET /orders/HSO1/payment").length
  await pass(120_000)
  assert.equal(asked("GET /orders/HSO1/payment").length - before, 2)
  payment.poll_after_ms = null
  await pass(60_000)
  const last = asked("GET /orders/HSO1/payment").length
  await pass(3600_000)
  assert.equal(asked("GET /orders/HSO1/payment").length, last)
  assert.deepEqual([page.data.outcome, page.data.retry], ["waiting", true])
  payment = { ...payment, order_status: "WAIT_USE" }
  await page.onRetry()
  await pass(0)
  assert.equal(page.data.outcome, "paid")
})

test("held while the shop checks a refund: looked at when the server says, until it is decided", async () => {
  order.on_hold = true
  payment = { ...payment, order_status: "WAIT_USE", payment_status: "SUCCESS", on_hold: true, poll_after_ms: 45_000 }
  const page = await openResult()
  await pass(45_000)
  assert.deepEqual([page.data.outcome, page.data.text, page.data.order.code], ["hold", "已支付，商家正在核实退款", ""])
  const before = asked("GET /orders/HSO1/payment").length
  await pass(90_000)
  assert.equal(asked("GET /orders/HSO1/payment").length - before, 2)
  order.on_hold = payment.on_hold = false
  await pass(45_000)
  assert.deepEqual([page.data.outcome, page.data.order.code], ["paid", "ABCD EFG HJK"])
})

test("a poll that answers 404 breaks nothing and ends", async () => {
  world.replies["GET /orders/HSO1/payment"] = [{ status: 404, body: { type: "urn:wxpay:not-found" } }]
  const page = await openResult()
  assert.equal(page.data.note, "没有找到这个订单")
  await pass(3600_000)
  assert.equal(asked("GET /orders/HSO1/payment").length, 1)
})

test("hidden, it does not poll; nor while pay.js does", async () => {
  const page = await openResult()
  page.onHide()
  const before = asked("GET /orders/HSO1/payment").length
  await pass(600_000)
  assert.equal(asked("GET /orders/HSO1/payment").length, before)
  page.onShow()
  await pass(0)
  world.cashier = ["never"]
  page.onPay()
  await pass(0)
  world.calls.length = 0
  await pass(60_000)
  assert.ok(
    asked("GET /orders/HSO1/payment").length <= 5,
    "pay.js looks every 15 s; the page may have had one look under way",
  )
})

// --- taps

test("two taps on cancel, pay and buy are one request each, and one new page", async () => {
  order = { ...order, status: "WAIT_PAY", redeem_code: null }
  world.replies["POST /orders/HSO1/cancel"] = [{ status: 200, body: { ...order, closing: true } }]
  const page = await openOrder()
  page.onCancel()
  page.onCancel()
  await pass(1000)
  assert.equal(asked("POST /orders/HSO1/cancel").length, 1)
  payment = { ...payment, order_status: "WAIT_USE", poll_after_ms: null }
  page.onPay()
  page.onPay()
  await pass(1000)
  assert.deepEqual(world.went, ["/pages/result/result?order_sn=HSO1"])
  const book = start.open("book", { homestay_id: "lake-house" })
  await pass(0)
  book.onBuy()
  book.onBuy()
  await pass(1000)
  assert.equal(asked("POST /orders").length, 1)
  assert.equal(world.went.length, 2)
})

test("who has left the page is not taken away from where he is", async () => {
  payment = { ...payment, order_status: "WAIT_USE", poll_after_ms: null }
  order = { ...order, status: "WAIT_PAY" }
  const book = start.open("book", { homestay_id: "lake-house" })
  const page = await openOrder()
  book.onBuy()
  page.onPay()
  book.onUnload()
  page.onUnload()
  await pass(60_000)
  assert.equal(world.routes("cashier").length, 1)
  assert.deepEqual(world.went, [])
  assert.deepEqual(world.timers.waiting, [])
})

test("paid, and cancelled at the same time: it says that it is paid, and shows the paid order", async () => {
  order = { ...order, status: "WAIT_PAY", redeem_code: null }
  const page = await openOrder()
  world.replies["POST /orders/HSO1/cancel"] = [
    () => {
      order = { ...ORDER }
      return { status: 409, body: { type: "urn:wxpay:order-state", order_status: "WAIT_USE" } }
    },
  ]
  page.onCancel()
  await pass(0)
  assert.deepEqual(
    [page.data.message, page.data.order.word, page.data.order.code],
    ["已支付，不能取消", "待入住", "ABCD EFG HJK"],
  )
})

test("while the server makes us wait the button says so", async () => {
  order = { ...order, status: "WAIT_PAY" }
  world.replies["POST /orders/HSO1/prepay"].unshift({
    status: 429,
    body: { type: "urn:wxpay:too-soon" },
    header: { "Retry-After": "5" },
  })
  payment = { ...payment, order_status: "WAIT_USE" }
  const page = await openOrder()
  page.onPay()
  await pass(1000)
  assert.equal(page.data.step, "请稍候…")
  await pass(6000)
  assert.equal(world.went.length, 1)
})

// --- the list

test("the list is read anew when it is shown; more of it is added once, and never to a newer one", async () => {
  const list = start.open("orders")
  await pass(0)
  order.status = "USED"
  list.onShow()
  await pass(0)
  assert.equal(list.data.orders[0].word, "已入住")
  list.onMore()
  list.onMore()
  await pass(0)
  assert.equal(list.data.orders.length, 2)
  world.replies["GET /orders"].unshift({ ...world.replies["GET /orders"][0](), after: 5000 })
  list.onMore()
  list.onShow()
  await pass(10_000)
  assert.equal(list.data.orders.length, 1)
})

test("a list that cannot be read anew says since when it is true", async () => {
  const list = start.open("orders")
  await pass(0)
  world.failing = () => "never"
  list.onShow()
  await pass(8100)
  assert.match(list.data.message, /^暂时不能更新。以下信息截至北京时间/)
  assert.equal(list.data.orders.length, 1)
  await pass(120_000)
  assert.match(list.data.message, /^暂时不能更新。以下信息截至北京时间/)
  world.failing = () => undefined
  list.onRetry()
  await pass(0)
  assert.equal(list.data.message, "")
})

test("the list says what is held and what is on its way back", async () => {
  order.on_hold = true
  order.refunding_fen = 100
  const list = start.open("orders")
  await pass(0)
  assert.deepEqual(
    [list.data.orders[0].word, list.data.orders[0].refunding, list.data.orders[0].open],
    ["已支付，商家正在核实退款", "¥1", false],
  )
})

test("a home is offered from its lowest price on", async () => {
  world.replies["GET /catalogue/homestay"] = [
    { status: 200, body: { offers: [{ ...HOME, price_fen: null, from_fen: 38800, market_price_fen: 48800 }] } },
  ]
  const list = start.open("homes")
  await pass(0)
  assert.deepEqual([list.data.homes[0].price, list.data.homes[0].market], ["¥388 起", "¥488"])
})

// --- the calendar. It is the afternoon of 2027-01-15.

const FREE = "GET /catalogue/homestay/lake-house/availability"
const openBook = async () => {
  const page = start.open("book", { homestay_id: "lake-house" })
  await pass(0)
  return page
}
const tap = async (page, ...dates) => {
  for (const date of dates) {
    page.onDay({ currentTarget: { dataset: { date } } })
    await pass(0)
  }
}
const cellOf = (page, date) => page.data.cells.find((cell) => cell.key === date)
const chosen = ({ data }) => [data.start, data.end, data.total]
const months = () => asked(FREE).map(({ url }) => new URL(url).search)

test("the calendar shows a month, each day with its price, full or not sold; days gone by and of other months are none", async () => {
  world.nights = {
    "2027-01-18": { price_fen: 38800 },
    "2027-01-19": { price_fen: 48850, free: 2 },
    "2027-01-20": { free: 0 },
    "2027-01-21": { price_fen: null, free: 3 },
    "2027-01-22": { free: -1 },
  }
  const page = await openBook()
  assert.deepEqual([page.data.monthText, page.data.hasEarlier, page.data.hasLater], ["2027年1月", false, true])
  assert.equal(page.data.cells.length, 42)
  assert.deepEqual(page.data.cells[5], { ...cellOf(page, "2027-01-01") }) // a Friday, in a week that begins on Sunday
  const shown = (date) => [cellOf(page, date).price, cellOf(page, date).look]
  assert.deepEqual(shown("2027-01-18"), ["¥388", ""])
  assert.deepEqual(shown("2027-01-19"), ["¥488.50", ""])
  assert.deepEqual(shown("2027-01-20"), ["满", "taken"])
  assert.deepEqual(shown("2027-01-21"), ["不售", "taken"])
  assert.deepEqual(shown("2027-01-22"), ["满", "taken"])
  assert.equal(cellOf(page, "2027-01-14").date, undefined)
  assert.equal(cellOf(page, "2026-12-31").day, undefined)
  assert.equal(cellOf(page, "2027-01-18").label, "1月18日 周一 ¥388")
})

test("tomorrow is chosen at first, if it is free", async () => {
  assert.deepEqual(chosen(await openBook()), ["2027-01-16", "2027-01-17", "¥1"])
  world.nights["2027-01-16"] = { free: 0 }
  const page = await openBook()
  assert.deepEqual(chosen(page), ["", "", ""])
  await page.onBuy()
  assert.deepEqual(asked("POST /orders"), [])
})

test("the first day, then the last: the sum is the nights' own prices, and goes with the order", async () => {
  world.replies["GET /catalogue/homestay"] = [{ status: 200, body: { offers: [{ ...HOME, food_price_fen: 3000 }] } }]
  Object.assign(world.nights, { "2027-01-18": { price_fen: 38800 }, "2027-01-20": { price_fen: 48800 } })
  world.nights["2027-01-19"] = { price_fen: 38800 }
  const page = await openBook()
  await tap(page, "2027-01-18")
  assert.deepEqual(chosen(page), ["2027-01-18", "", ""])
  await tap(page, "2027-01-21")
  assert.deepEqual(chosen(page), ["2027-01-18", "2027-01-21", "¥1264"])
  assert.deepEqual([page.data.startText, page.data.endText], ["1月18日 周一", "1月21日 周四"])
  assert.equal(page.data.pieces, "¥388 × 2 + ¥488 × 1")
  assert.deepEqual(
    ["2027-01-18", "2027-01-19", "2027-01-21"].map((date) => [cellOf(page, date).look, cellOf(page, date).price]),
    [
      ["edge", "入住"],
      ["within", "¥388"],
      ["edge", "退房"],
    ],
  )
  page.onFood({ detail: { value: true } })
  assert.deepEqual([page.data.meals, page.data.total], ["¥180", "¥1444"])
  page.onBuy()
  await pass(0)
  const { start_date, end_date, expected_total_fen } = asked("POST /orders")[0].body
  assert.deepEqual([start_date, end_date, expected_total_fen], ["2027-01-18", "2027-01-21", 144400])
})

test("a third tap begins anew, and one before the first day is the first day", async () => {
  const page = await openBook()
  await tap(page, "2027-01-20", "2027-01-22", "2027-01-25")
  assert.deepEqual(chosen(page), ["2027-01-25", "", ""])
  await tap(page, "2027-01-23", "2027-01-23")
  assert.deepEqual(chosen(page), ["2027-01-23", "", ""])
})

test("a stay over a night that is full or not sold is refused with words; on the day of leaving it may be so", async () => {
  world.nights = { "2027-01-20": { free: 0 }, "2027-01-25": { price_fen: null } }
  const page = await openBook()
  await tap(page, "2027-01-18", "2027-01-21")
  assert.deepEqual([...chosen(page), page.data.refused], ["2027-01-18", "", "", "1月20日已满，请另选日期"])
  await tap(page, "2027-01-20")
  assert.deepEqual([...chosen(page), page.data.refused], ["2027-01-18", "2027-01-20", "¥2", ""])
  await tap(page, "2027-01-20")
  assert.deepEqual([...chosen(page), page.data.refused], ["", "", "", "1月20日已满，请另选日期"])
  await tap(page, "2027-01-24", "2027-01-26")
  assert.equal(page.data.refused, "1月25日不可预订，请另选日期")
  await tap(page, "2027-01-25")
  assert.deepEqual(chosen(page), ["2027-01-24", "2027-01-25", "¥1"])
})

test("ninety nights are the most; over months, each is known before the sum is", async () => {
  const page = await openBook()
  await tap(page, "2027-01-20")
  for (let n = 0; n < 3; n++) {
    page.onLater()
    await pass(0)
  }
  assert.equal(page.data.month, "2027-04")
  await tap(page, "2027-04-21")
  assert.deepEqual([...chosen(page), page.data.refused], ["2027-01-20", "", "", "一次最多预订 90 晚"])
  world.replies[FREE] = [({ url }) => ({ status: 200, body: world.free(url), after: 2000 })]
  await pass(31_000)
  world.nights["2027-02-14"] = { price_fen: 900 }
  await tap(page, "2027-04-20")
  await pass(2000)
  assert.deepEqual(chosen(page), ["2027-01-20", "2027-04-20", "¥98"])
})

test("the calendar goes from this month to the one in a year, and no further", async () => {
  const page = await openBook()
  page.onEarlier()
  assert.equal(page.data.month, "2027-01")
  for (let n = 0; n < 20; n++) page.onLater()
  await pass(0)
  assert.deepEqual([page.data.month, page.data.hasLater], ["2028-01", false])
  assert.deepEqual([cellOf(page, "2028-01-15").date, cellOf(page, "2028-01-16").date], ["2028-01-15", undefined])
  page.onEarlier()
  assert.equal(page.data.month, "2027-12")
})

test("a month is asked for once, and again when what is known is older than thirty seconds", async () => {
  const page = await openBook()
  const [january, february] = ["?from=2027-01-01&to=2027-01-31", "?from=2027-02-01&to=2027-02-28"]
  page.onLater()
  await pass(0)
  page.onEarlier()
  await pass(20_000)
  page.onShow()
  await pass(0)
  assert.deepEqual(months(), [january, february])
  await pass(11_000)
  world.nights["2027-01-18"] = { free: 0 }
  page.onShow()
  await pass(0)
  assert.deepEqual(months(), [january, february, january])
  assert.equal(cellOf(page, "2027-01-18").price, "满")
})

test("a choice that is taken by another meanwhile is taken back, and said", async () => {
  const page = await openBook()
  await tap(page, "2027-01-18", "2027-01-20")
  await pass(31_000)
  world.nights["2027-01-19"] = { free: 0 }
  page.onShow()
  await pass(0)
  assert.deepEqual([...chosen(page), page.data.refused], ["2027-01-18", "", "", "1月19日已满，请另选日期"])
})

test("sold out: the page says it, shows what is free now, whatever its age, and the guest goes on", async () => {
  payment = { ...payment, order_status: "WAIT_USE", payment_status: "SUCCESS", poll_after_ms: null }
  const page = await openBook()
  await tap(page, "2027-01-18", "2027-01-20")
  world.nights["2027-01-19"] = { free: 0 }
  world.replies["POST /orders"].unshift({
    status: 409,
    body: { type: "urn:wxpay:sold-out", free: { "2027-01-19": 0, "2027-01-18": 1 } },
  })
  page.onBuy()
  await pass(0)
  assert.equal(page.data.message, "余量不足，订单没有提交，没有扣款，请重新选择 (已满：1月19日)")
  assert.deepEqual([...chosen(page), page.data.refused], ["2027-01-18", "", "", "1月19日已满，请另选日期"])
  assert.equal(cellOf(page, "2027-01-19").price, "满")
  await tap(page, "2027-01-19")
  assert.deepEqual([...chosen(page), page.data.message], ["2027-01-18", "2027-01-19", "¥1", ""])
  page.onBuy()
  await pass(0)
  assert.deepEqual(world.went, ["/pages/result/result?order_sn=HSO1"])
})

test("another price: the page says it, shows the new one, and the next tap sends it", async () => {
  payment = { ...payment, order_status: "WAIT_USE", payment_status: "SUCCESS", poll_after_ms: null }
  const page = await openBook()
  await tap(page, "2027-01-18", "2027-01-20")
  world.nights["2027-01-19"] = { price_fen: 300 }
  world.replies["POST /orders"].unshift({
    status: 409,
    body: { type: "urn:wxpay:price-changed", expected_total_fen: 200, total_fen: 400 },
  })
  page.onBuy()
  await pass(0)
  assert.equal(page.data.message, "价格已变动，订单没有提交，没有扣款，请核对新价格 (原 ¥2，现 ¥4)")
  assert.deepEqual(chosen(page), ["2027-01-18", "2027-01-20", "¥4"])
  page.onBuy()
  await pass(0)
  assert.deepEqual(
    asked("POST /orders").map(({ body }) => body.expected_total_fen),
    [200, 400],
  )
  assert.equal(world.went.length, 1)
})

for (const type of ["sold-out", "price-changed"]) {
  test(`${type}, and what is free cannot be asked for: nothing can be bought until it is known`, async () => {
    const page = await openBook()
    world.replies["POST /orders"].unshift({ status: 409, body: { type: `urn:wxpay:${type}` } })
    world.failing = (route) => (route === FREE ? "offline" : undefined)
    page.onBuy()
    await pass(60_000)
    assert.equal(page.data.total, "")
    assert.deepEqual([page.data.note, page.data.retry], ["网络不通，暂时不能显示余量，请检查网络后重试", true])
    await page.onBuy()
    assert.equal(asked("POST /orders").length, 1)
    world.failing = () => undefined
    page.onRetry()
    await pass(0)
    assert.deepEqual([...chosen(page), page.data.note], ["2027-01-16", "2027-01-17", "¥1", ""])
  })
}

test("an answer that was asked for before the order was refused does not bring the old state back", async () => {
  const page = await openBook()
  await pass(31_000)
  const old = world.free("https://x/?from=2027-01-01&to=2027-01-31")
  world.replies[FREE].unshift({ status: 200, body: old, after: 5000 })
  page.onShow()
  world.nights["2027-01-16"] = { free: 0 }
  world.replies["POST /orders"].unshift({
    status: 409,
    body: { type: "urn:wxpay:sold-out", free: { "2027-01-16": 0 } },
  })
  page.onBuy()
  await pass(10_000)
  assert.equal(cellOf(page, "2027-01-16").price, "满")
})

test("of two months that are turned to at once the one that is shown stays, and each has its own days", async () => {
  const page = await openBook()
  world.nights["2027-02-03"] = { price_fen: 700 }
  world.replies[FREE].unshift(({ url }) => ({ status: 200, body: world.free(url), after: 5000 }))
  page.onLater()
  page.onEarlier()
  await pass(100)
  assert.equal(page.data.month, "2027-01")
  await pass(5000)
  assert.deepEqual([page.data.month, page.data.note], ["2027-01", ""])
  page.onLater()
  assert.equal(cellOf(page, "2027-02-03").price, "¥7")
})

test("a calendar that cannot be brought up to date says since when it is true, and tries again when asked", async () => {
  const page = await openBook()
  await pass(31_000)
  for (const failure of ["offline", { status: 503, body: "" }, { status: 429, body: {} }, { status: 200, body: {} }]) {
    world.failing = (route) => (route === FREE ? failure : undefined)
    page.onRetry()
    await pass(60_000)
    assert.match(page.data.note, /^暂时不能更新。以下信息截至北京时间 01-15 16:00:0/)
    assert.equal(page.data.retry, true)
    assert.equal(cellOf(page, "2027-01-18").price, "¥1")
  }
  world.failing = () => undefined
  page.onRetry()
  await pass(0)
  assert.deepEqual([page.data.note, page.data.retry], ["", false])
})

test("a home without stock, and an answer that has no nights, break no page", async () => {
  world.replies[FREE] = [{ status: 404, body: { type: "urn:wxpay:not-found" } }]
  assert.equal((await openBook()).data.note, "没有找到这家民宿")
  world.replies[FREE] = [{ status: 200, body: { sessions: [] } }]
  assert.equal((await openBook()).data.note, "出了点问题，请稍后重试")
})

// --- courses

const SEATS = "GET /catalogue/course/ink/availability"
const EVENING = { session: "2027-01-23T19:00", minutes: 120, price_fen: 12800, seats: 8, free: 8 }
const openCourse = async () => {
  const page = start.open("course", { course_id: "ink" })
  await pass(0)
  return page
}
const choose = (page, session) => page.onSession({ currentTarget: { dataset: { session } } })
const refuse = (type, more) =>
  world.replies["POST /orders"].unshift({ status: 409, body: { type: `urn:wxpay:${type}`, ...more } })

test("the courses tell of their lowest price and their next session, as people read it", async () => {
  world.sessions = [{ ...EVENING, session: "2027-02-06T19:00" }, EVENING]
  const list = start.open("courses")
  await pass(0)
  const { price, next } = list.data.courses[0]
  assert.deepEqual([price, next], ["¥128 起", "下一场：1月23日 周六 19:00"])
  world.sessions = []
  await Promise.all([list.onPullDownRefresh(), pass(0)])
  assert.deepEqual([list.data.courses[0].price, list.data.courses[0].next], ["", "暂时没有可预约的场次"])
  world.failing = (route) => (route === "GET /catalogue/course" ? { status: 500, body: "" } : undefined)
  list.load()
  await pass(0)
  assert.match(list.data.message, /暂时不能显示在售内容/)
})

test("the sessions of a course: when, how long, for how much, how many seats are free", async () => {
  world.sessions = [
    { ...EVENING, session: "2027-01-30T10:30", free: 0 },
    { ...EVENING, free: 3 },
    { ...EVENING, session: "2027-02-05T10:00", price_fen: 16850, free: -1 },
  ]
  const page = await openCourse()
  assert.deepEqual(
    page.data.sessions.map(({ when, length, price, left, look }) => [when, length, price, left, look]),
    [
      ["1月23日 周六 19:00", "120 分钟", "¥128", "余 3 位", "chosen"],
      ["1月30日 周六 10:30", "120 分钟", "¥128", "满", "taken"],
      ["2月5日 周五 10:00", "120 分钟", "¥168.50", "满", "taken"],
    ],
  )
  choose(page, "2027-01-30T10:30")
  assert.deepEqual(
    [page.data.chosen, page.data.refused, page.data.total],
    ["", "1月30日 周六 10:30 已满，请另选一场", ""],
  )
  await page.onBuy()
  assert.deepEqual(asked("POST /orders"), [])
})

test("seats are never more than are free, and at most twenty; the sum goes with the order", async () => {
  world.sessions = [
    { ...EVENING, free: 3 },
    { ...EVENING, session: "2027-01-30T10:30", free: 50 },
  ]
  const page = await openCourse()
  for (let n = 0; n < 5; n++) page.onMore()
  assert.deepEqual([page.data.seats, page.data.more, page.data.total], [3, false, "¥384"])
  choose(page, "2027-01-30T10:30")
  for (let n = 0; n < 30; n++) page.onMore()
  assert.deepEqual([page.data.seats, page.data.more], [20, false])
  choose(page, "2027-01-23T19:00")
  assert.deepEqual([page.data.seats, page.data.refused], [3, "只剩 3 位，已改为 3 位"])
  for (let n = 0; n < 5; n++) page.onFewer()
  assert.deepEqual([page.data.seats, page.data.fewer, page.data.total], [1, false, "¥128"])
  page.onMore()
  page.onRemark({ detail: { value: "左撇子" } })
  page.onBuy()
  page.onBuy()
  await pass(0)
  assert.deepEqual(
    asked("POST /orders").map(({ body }) => body),
    [
      {
        service_type: "course",
        course_id: "ink",
        session: "2027-01-23T19:00",
        seats: 2,
        remark: "左撇子",
        expected_total_fen: 25600,
      },
    ],
  )
})

test("sessions further away than may be asked for at once are asked for in parts", async () => {
  world.sessions = [EVENING, { ...EVENING, session: "2027-06-01T19:00" }]
  const page = await openCourse()
  assert.deepEqual(
    asked(SEATS).map(({ url }) => new URL(url).search),
    ["?from=2027-01-15&to=2027-04-16", "?from=2027-04-17&to=2027-07-17"],
  )
  assert.equal(page.data.sessions.length, 2)
})

test("seats that go to others: the page says it, shows what is left, and the guest goes on", async () => {
  payment = { ...payment, order_status: "WAIT_USE", payment_status: "SUCCESS", poll_after_ms: null }
  const page = await openCourse()
  for (let n = 0; n < 2; n++) page.onMore()
  world.sessions = [{ ...EVENING, free: 1 }]
  refuse("sold-out", { free: { "2027-01-23T19:00": 1 } })
  page.onBuy()
  await pass(0)
  assert.equal(page.data.message, "余量不足，订单没有提交，没有扣款，请重新选择 (余 1 位)")
  assert.deepEqual([page.data.seats, page.data.refused, page.data.total], [1, "只剩 1 位，已改为 1 位", "¥128"])
  page.onBuy()
  await pass(0)
  assert.equal(world.went.length, 1)
})

test("a session that is full, gone or dearer when it is ordered", async () => {
  const page = await openCourse()
  world.sessions = [{ ...EVENING, price_fen: 14800 }]
  refuse("price-changed", { expected_total_fen: 12800, total_fen: 14800 })
  page.onBuy()
  await pass(0)
  assert.equal(page.data.message, "价格已变动，订单没有提交，没有扣款，请核对新价格 (原 ¥128，现 ¥148)")
  assert.equal(page.data.total, "¥148")
  world.sessions = [{ ...EVENING, free: 0 }]
  refuse("sold-out", { free: { "2027-01-23T19:00": 0 } })
  page.onBuy()
  await pass(0)
  assert.deepEqual([page.data.chosen, page.data.refused], ["", "1月23日 周六 19:00 已满，请另选一场"])
  world.sessions = [EVENING]
  await pass(31_000)
  page.onShow()
  await pass(0)
  choose(page, EVENING.session)
  world.sessions = []
  refuse("sold-out")
  page.onBuy()
  await pass(0)
  assert.deepEqual(
    [page.data.refused, page.data.note],
    ["1月23日 周六 19:00 已不能预约，请另选一场", "暂时没有可预约的场次"],
  )
})

test("without an answer after a sold-out nothing can be bought until it is known what is free", async () => {
  const page = await openCourse()
  refuse("sold-out")
  world.failing = (route) => (route === SEATS ? "offline" : undefined)
  page.onBuy()
  await pass(60_000)
  assert.deepEqual(
    [page.data.total, page.data.note, page.data.retry],
    ["", "网络不通，暂时不能显示余量，请检查网络后重试", true],
  )
  world.failing = () => undefined
  page.onRetry()
  await pass(0)
  assert.deepEqual([page.data.total, page.data.note, page.data.retry], ["¥128", "", false])
})

test("what is free of a course is asked for again after thirty seconds; an answer that is overtaken does not count", async () => {
  const page = await openCourse()
  page.onShow()
  assert.equal(asked(SEATS).length, 1)
  await pass(31_000)
  const old = world.freeSeats("https://x/?from=2027-01-15&to=2027-04-16")
  world.replies[SEATS].unshift({ status: 200, body: old, after: 5000 })
  page.onShow()
  world.sessions = [{ ...EVENING, free: 2 }]
  page.onRetry()
  await pass(10_000)
  assert.equal(page.data.sessions[0].left, "余 2 位")
  for (const failure of ["offline", { status: 503, body: "" }, { status: 200, body: { nights: [] } }]) {
    world.failing = (route) => (route === SEATS ? failure : undefined)
    page.onRetry()
    await pass(60_000)
    assert.match(page.data.note, /^暂时不能更新。以下信息截至北京时间 01-15/)
    assert.equal(page.data.sessions[0].left, "余 2 位")
  }
})

test("a course that is not there is said to be not there, and one without stock too", async () => {
  const page = start.open("course", { course_id: "gone" })
  await pass(0)
  assert.equal(page.data.message, "没有找到这门课程")
  world.replies[SEATS] = [{ status: 404, body: { type: "urn:wxpay:not-found" } }]
  assert.equal((await openCourse()).data.note, "没有找到这门课程")
})

test("an order of a course is shown with its own words, and a new one is looked for among the courses", async () => {
  const bought = {
    course_id: "ink",
    title: "书法",
    place: "杭州",
    session: "2027-01-23T19:00",
    minutes: 120,
    seats: 2,
    price_fen: 12800,
    remark: "左撇子",
  }
  Object.assign(order, { service_type: "course", purchase: bought, total_fen: 25600 })
  const page = await openOrder()
  const { title, when, length, word, codeName, sums, facts } = page.data.order
  assert.deepEqual(
    [title, when, length, word, codeName],
    ["书法", "1月23日 周六 19:00", "120 分钟", "待上课", "上课验证码"],
  )
  assert.deepEqual(sums, [{ name: "课程费 ¥128 × 2", text: "¥256" }])
  assert.deepEqual(
    facts.map(({ text }) => text),
    ["杭州", "2", "左撇子"],
  )
  order.status = "REFUNDED"
  payment = { ...payment, order_status: "REFUNDED", poll_after_ms: null }
  const result = await openResult()
  result.onRebook()
  assert.deepEqual(world.went, ["/pages/courses/courses"])
})

test("the tabs have their names in the guest's language, in their order", () => {
  const named = []
  world.wx.setTabBarItem = ({ index, text }) => (named[index] = text)
  world.launch()
  const { list } = require("../../miniprogram/app.json").tabBar
  assert.deepEqual(
    named,
    list.map(({ text }) => text),
  )
})

test("a home that is not there is said to be not there", async () => {
  const book = start.open("book", { homestay_id: "gone" })
  await pass(0)
  assert.equal(book.data.message, "没有找到这家民宿")
})
