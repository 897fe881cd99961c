// pay.js: sign in, order and pay against wxpay-serverless, from a WeChat mini-program. One file, no dependency:
// copy it, and README.md beside it tells the rest.
//
// Three rules are behind all of it. What the phone says of a payment proves nothing: only the server's answer counts.
// A request whose answer got lost may have worked: it is repeated as it was, and the server makes one order, one trade
// of it. And nobody is told "failed" while money may be on its way.

const TIMEOUT_MS = 15000
const TRIES = 3
const WAIT_MS = 10000 // all pauses between the tries of one call together
const PATIENCE_MS = 60000 // after the cashier has closed: then "still waiting", and the page may follow on
const CASHIER_LOOK_MS = 15000 // some phones never say how the cashier ended
const LOOK_MS = 2000 // between two looks when the server could not say
const LEAST_LOOK_MS = 200
const LONGEST_LOOK_MS = 3600 * 1000
const SUBSCRIBE_MS = 60000
const TOKEN_MARGIN_MS = 60000
const KEY_LIFE_MS = 6 * 24 * 3600 * 1000 // the server keeps an Idempotency-Key for seven days

const TOKEN = "wxpay.token"
const PENDING = "wxpay.pending"

const PAID = ["WAIT_USE", "USED", "EXPIRED"]
const WILL_END = ["offline", "busy", "often"] // failures that may end by themselves
const FINAL = ["invalid", "missing", "state", "soldout", "price", "many", "refused"] // the server's no
const NEVER = ["invalid", "soldout", "price"] // the request that was sent will not become an order

// What may be said of the money when a call fails, by the moment at which it does. README.md has the same table.
//   before   the order was never sent, or the server said no to it: no cashier can have opened
//   unknown  the order exists or may exist; whether a cashier opened for it, here or on another phone, is not known
//   open     a cashier opened here, how it ended is not known
//   paid     the server has said that it is paid
//   over     the server has said that it is refunded or closed
// and what is said: `nothing` was charged, no cashier was `unopened` by this tap, it will be `noticed` if money was
// taken, what is `known`, or `-`: not a word about money.
const MOMENTS = ["before", "unknown", "open", "paid", "over"]
const CLAIMS = {
  offers: ["-", "-", "-", "-", "-"],
  availability: ["-", "-", "-", "-", "-"],
  orders: ["-", "-", "-", "-", "-"],
  create: ["nothing", "unopened", "unopened", "unopened", "unopened"],
  prepay: ["unopened", "unopened", "noticed", "known", "known"],
  cashier: ["noticed", "noticed", "noticed", "known", "known"],
  poll: ["-", "-", "noticed", "known", "known"],
  order: ["-", "-", "noticed", "known", "known"],
  cancel: ["-", "-", "noticed", "known", "known"],
  quote: ["-", "-", "noticed", "known", "known"],
  refund: ["-", "-", "noticed", "known", "known"],
}
const OF_ONE_ORDER = ["prepay", "cashier", "poll", "order", "cancel", "quote", "refund"]

const TEXTS = {
  zh: {
    outcome: {
      paid: "支付成功",
      arrived: "已支付，正在确认订单",
      hold: "已支付，商家正在核实退款",
      cancelled: "还没有收到付款，订单为您保留，可以继续支付",
      waiting: "正在确认支付结果，请不要重复付款",
      closed: "订单已关闭。如果您已付款，款项会自动原路退回",
      unpayable: "这个订单现在不能支付。如果您已付款，款项会被确认或退回",
      refunded: "订单已退款",
    },
    known: { paid: "已支付", closed: "订单已关闭" },
    claim: { nothing: "没有扣款", unopened: "这次没有打开微信支付", noticed: "如有扣款会自动确认" },
    why: {
      offline: "网络不通",
      busy: "服务繁忙",
      often: "操作太频繁",
      many: "短时间内下单太多",
      signin: "微信登录没有成功",
      cashier: "微信支付报告出错",
      refused: "微信支付没有接受这笔订单",
      invalid: "填写的内容有误",
      missing: "没有找到这个订单",
      state: "订单的状态已经改变",
      soldout: "余量不足",
      price: "价格已变动",
      broken: "出了点问题",
    },
    what: {
      offers: "暂时不能显示在售内容",
      availability: "暂时不能显示余量",
      orders: "暂时不能显示订单",
      order: "暂时不能显示订单",
      poll: "暂时查不到支付结果",
      again: "没有能再次打开微信支付",
      submitted: "订单没有提交",
      perhapsSubmitted: "订单可能已提交，原样再提交不会重复下单",
      earlierSubmitted: "之前的提交可能已生成订单",
      cancelled: "不能取消",
      perhapsCancelled: "不知道是否已取消",
      quote: "暂时查不到可退的金额",
      unrefundable: "不能申请退款",
      unasked: "这次没有申请退款",
      perhapsAsked: "不知道是否已申请退款",
    },
    then: {
      online: "请检查网络后重试",
      later: "请稍后重试",
      check: "请检查",
      reload: "请刷新",
      choose: "请重新选择",
      price: "请核对新价格",
      sum: "请核对新的金额",
      orders: "请先查看我的订单",
    },
    sumChanged: "可退的金额已变动",
    glue: ["，", "。", ""],
  },
  en: {
    outcome: {
      paid: "Paid",
      arrived: "Paid; the order is being confirmed",
      hold: "Paid; the shop is checking a refund",
      cancelled: "No payment has arrived. The order is kept for you; you can go on paying",
      waiting: "The payment is being checked. Please do not pay twice",
      closed: "The order is closed. If you have paid, the money comes back by itself",
      unpayable: "This order cannot be paid now. If you have paid, the payment will be confirmed or come back",
      refunded: "The order is refunded",
    },
    known: { paid: "Paid", closed: "The order is closed" },
    claim: {
      nothing: "nothing was charged",
      unopened: "WeChat Pay was not opened this time",
      noticed: "if you were charged, it will be noticed",
    },
    why: {
      offline: "no network",
      busy: "the service is busy",
      often: "that was too often",
      many: "too many orders in a short time",
      signin: "WeChat sign-in did not work",
      cashier: "WeChat Pay reported an error",
      refused: "WeChat Pay did not accept this order",
      invalid: "something you entered is not right",
      missing: "there is no such order",
      state: "the order has changed",
      soldout: "there is not enough left",
      price: "the price has changed",
      broken: "something went wrong",
    },
    what: {
      offers: "what is on sale cannot be shown now",
      availability: "what is free cannot be shown now",
      orders: "the orders cannot be shown now",
      order: "the order cannot be shown now",
      poll: "the payment cannot be looked up now",
      again: "WeChat Pay could not be opened again",
      submitted: "the order was not placed",
      perhapsSubmitted: "the order may have been placed, and sending it again unchanged makes no second one",
      earlierSubmitted: "the order may have been placed by an earlier try",
      cancelled: "it cannot be cancelled",
      perhapsCancelled: "it is not known whether it was cancelled",
      quote: "what would come back cannot be looked up now",
      unrefundable: "a refund cannot be asked for",
      unasked: "no refund was asked for this time",
      perhapsAsked: "it is not known whether the refund was asked for",
    },
    then: {
      online: "try again when you are online",
      later: "try again in a moment",
      check: "please check it",
      reload: "please reload",
      choose: "please choose again",
      price: "please look at the new price",
      sum: "please look at the new sum",
      orders: "please look at your orders first",
    },
    sumChanged: "what comes back has changed",
    glue: ["; ", ". ", "capital"],
  },
}

const THEN = {
  offline: "online",
  busy: "later",
  often: "later",
  many: "later",
  signin: "later",
  cashier: "later",
  refused: "later",
  invalid: "check",
  soldout: "choose",
  price: "price",
  missing: "",
  state: "reload",
  broken: "later",
}

// The sentence for a failure: `kind` of failure, of which call, at which moment; `word` is what is known, a name in
// `known` or `outcome`; `unsure` whether a request to refund may have worked.
function sentence(texts, call, moment, kind, word, unsure) {
  const claim = CLAIMS[call][MOMENTS.indexOf(moment)]
  const [comma, stop, capital] = texts.glue
  const final = FINAL.includes(kind)
  const known = texts.known[word] || texts.outcome[word]
  const perhaps = NEVER.includes(kind) ? "earlierSubmitted" : "perhapsSubmitted" // the second while its key is kept
  const otherSum = call === "refund" && kind === "price" // of what comes back, not of what is bought
  const asked = final && !otherSum ? "unrefundable" : "unasked"
  const what = {
    offers: "offers",
    availability: "availability",
    orders: "orders",
    order: "order",
    poll: "poll",
    create: moment === "before" ? "submitted" : perhaps,
    prepay: claim === "noticed" ? "again" : "",
    cancel: final ? "cancelled" : "perhapsCancelled",
    cashier: "",
    quote: final ? "unrefundable" : "quote",
    refund: unsure ? "perhapsAsked" : asked,
  }[kind === "missing" ? "cashier" : call]
  const careful = (what === "earlierSubmitted" && "orders") || (otherSum && "sum") || THEN[kind]
  const then = claim === "known" && call === "prepay" ? "reload" : careful
  const say = (words) => {
    const text = words.filter(Boolean).join(comma)
    return capital ? text.charAt(0).toUpperCase() + text.slice(1) : text
  }
  if (claim === "known" && kind === "state" && !unsure) return say([known, texts.what[what]])
  // Of an order that is not there yet nothing can change.
  const why = call === "create" && kind === "state" ? "" : otherSum ? texts.sumChanged : texts.why[kind]
  const rest = say([why, texts.what[what], texts.claim[claim], texts.then[then]])
  return claim === "known" ? known + stop + rest : rest
}

// What goes wrong. `kind` is a name in TEXTS.zh.why, `call` one in CLAIMS, `moment` one in MOMENTS, `text` is for people;
// `status` and `problem` are the server's (RFC 9457), where it answered.
class PayError extends Error {
  constructor(kind, more) {
    super(kind)
    this.name = "PayError"
    this.kind = kind
    this.text = ""
    Object.assign(this, more)
  }
}

// createPay({ baseUrl, templateIds, lang, wx }) -> the client. One per app.
//   baseUrl      https://... of the API, without a slash at the end
//   templateIds  of the subscription messages that are asked for at the tap, at most three; or such a list per
//                service_type
//   lang         'zh' or 'en': the language of texts
//   wx           WeChat's wx
//   timers       { now, start, stop }: for tests
function createPay({ baseUrl, templateIds = [], lang = "zh", wx, timers = TIMERS }) {
  const texts = TEXTS[lang] || TEXTS.zh
  const running = {} // what is under way, by name: a second tap joins it
  const known = {} // by order_sn: what was learned of its money, { moment, word }
  const products = {} // by order_sn: its service_type
  const ends = {} // by order_sn: how the last pay, look or follow ended
  const store = storage(wx)

  const fail = (kind, more) =>
    new PayError(kind, Object.assign({ status: 0, problem: null, retryAfterMs: 0, why: "" }, more))
  const sleep = (ms) => new Promise((resolve) => timers.start(resolve, ms))

  // One promise per name at a time.
  function once(name, start) {
    if (!running[name]) {
      const end = () => delete running[name]
      running[name] = start()
      running[name].then(end, end)
    }
    return running[name]
  }

  // --- what is known of an order's money, and what is said when a call fails

  // From an order, a payment's state, or a 409 with the order's status. A late answer takes nothing back.
  function learn(order_sn, { status, payment_status, on_hold, service_type }) {
    if (isText(service_type)) products[order_sn] = service_type
    const before = known[order_sn] || {}
    if (before.word === "refunded") return
    let word = ""
    if (status === "REFUNDED") word = "refunded"
    else if (on_hold === true) word = "hold"
    else if (PAID.includes(status) || payment_status === "SUCCESS") word = "paid"
    else if (status === "CANCELLED") word = "closed"
    if (word) known[order_sn] = { moment: word === "refunded" || word === "closed" ? "over" : "paid", word }
  }

  function opened(order_sn) {
    if (!known[order_sn]) known[order_sn] = { moment: "open", word: "" }
  }

  // Runs a call; its failure is thrown as a PayError that says what is true of the order's money at this moment.
  // `before()`: the order was never sent; `unsure()`: what was asked for may have been done.
  async function telling(call, order_sn, start, { before = () => false, unsure = () => false } = {}) {
    try {
      return await start()
    } catch (error) {
      const raw = error instanceof PayError ? error : fail("broken", { why: String((error && error.message) || error) })
      if (raw.call) throw raw
      if (order_sn && raw.problem) {
        // The one reason for which an order in WAIT_PAY is not cancelled: its money is here, the order follows soon.
        const { order_status: status, on_hold } = raw.problem
        const paid = call === "cancel" && raw.status === 409 && status === "WAIT_PAY"
        learn(order_sn, { status, on_hold, payment_status: paid ? "SUCCESS" : undefined })
      }
      const kind = raw.kind === "missing" && !OF_ONE_ORDER.includes(call) ? "broken" : raw.kind
      const { moment, word } = before() ? { moment: "before" } : known[order_sn] || { moment: "unknown" }
      const text = sentence(texts, call, moment, kind, word, unsure())
      // A copy: several calls may share one failure, that of signing in.
      throw new PayError(kind, Object.assign({}, raw, { kind, call, moment, order_sn, text }))
    }
  }

  // --- signing in

  function token() {
    const kept = store.get(TOKEN)
    return kept && kept.until > timers.now() ? Promise.resolve(kept) : once("signin", signIn)
  }

  // A login code works once, so a repeat takes a new one.
  async function signIn() {
    const start = async () => {
      const { code } = await callWx("login", { timeout: TIMEOUT_MS }, TIMEOUT_MS).catch(() => ({}))
      if (!code) throw fail("signin")
      const told = await send("POST", "/login", { code })
      if (!isText(told.token) || !(told.expires_in > 0)) throw fail("broken")
      const until = timers.now() + told.expires_in * 1000 - TOKEN_MARGIN_MS
      return store.set(TOKEN, { token: told.token, until, user_id: told.user_id })
    }
    // 401: its answer got lost once, the code is used up
    const mayEnd = ({ status, kind }) => status === 401 || kind === "signin" || WILL_END.includes(kind)
    try {
      return await tried(start, mayEnd)
    } catch (error) {
      if (WILL_END.includes(error.kind)) throw error
      throw fail("signin", { status: error.status, problem: error.problem, why: error.why })
    }
  }

  function forget(spoiled) {
    const kept = store.get(TOKEN)
    if (kept && kept.token === spoiled.token) store.remove(TOKEN)
  }

  // --- requests

  // A wx function as a promise; fails after `ms` if it never calls back.
  function callWx(name, options, ms) {
    return new Promise((resolve, reject) => {
      const timer = ms && timers.start(() => reject({ errMsg: `${name}:fail timeout` }), ms + 1000)
      const end = (settle) => (told) => {
        if (ms) timers.stop(timer)
        settle(told || {})
      }
      // Old clients call complete alone when the user cancels.
      const complete = (told) => end(/:ok$/.test((told && told.errMsg) || "") ? resolve : reject)(told)
      try {
        wx[name](Object.assign({}, options, { success: end(resolve), fail: end(reject), complete }))
      } catch (error) {
        end(reject)(error)
      }
    })
  }

  // One request, one answer. Throws PayError.
  async function send(method, path, body, headers) {
    const header = Object.assign({ Accept: "application/json" }, headers)
    if (method !== "GET") header["Content-Type"] = "application/json"
    const options = { url: baseUrl + path, method, header, dataType: "json", timeout: TIMEOUT_MS }
    if (body !== undefined) options.data = JSON.stringify(body)
    let reply
    try {
      reply = await callWx("request", options, TIMEOUT_MS)
    } catch (told) {
      throw fail("offline", { why: told.errMsg || told.message })
    }
    const status = reply.statusCode
    const data = parsed(reply.data)
    if (status >= 200 && status < 300 && data) return data
    throw refusal(status, data, headerOf(reply, "retry-after"))
  }

  function refusal(status, data, retryAfter) {
    const problem = data && isText(data.type) ? data : null
    const more = { status: status || 0, problem, retryAfterMs: waitOf(retryAfter, timers.now()) }
    if (problem && problem.type === "urn:wxpay:wechat-refused") return fail("refused", more)
    if (problem && problem.type === "urn:wxpay:too-many-orders") return fail("many", more)
    if (problem && problem.type === "urn:wxpay:sold-out") return fail("soldout", more)
    if (problem && problem.type === "urn:wxpay:price-changed") return fail("price", more)
    if (status === 422) return fail("invalid", more)
    if (status === 404 && problem) return fail("missing", more)
    if (status === 409) return fail("state", more)
    if (status === 429) return fail("often", more)
    if (status === 502 || status === 503 || status === 504) return fail("busy", more)
    return fail("broken", more)
  }

  // A request in the user's name. A token that the gateway no longer takes is replaced once: its 401 and 403 are not
  // problem+json, the API's own 403 is. `sending` is told of each time that it goes out: it runs it.
  async function request(method, path, body, headers, sending = (start) => start()) {
    for (let first = true; ; first = false) {
      const mine = await token()
      const header = Object.assign({ Authorization: `Bearer ${mine.token}` }, headers)
      try {
        return await sending(() => send(method, path, body, header))
      } catch (error) {
        const refused = error.status === 401 || (error.status === 403 && !error.problem)
        if (!refused || !first) throw refused ? fail("signin", { status: error.status, problem: error.problem }) : error
        forget(mine)
      }
    }
  }

  // Starts it again while it fails in a way that may end by itself: TRIES times, and no longer than WAIT_MS of pauses.
  async function tried(start, mayEnd, onWait = () => {}) {
    for (let n = 1, waited = 0; ; n++) {
      try {
        return await start()
      } catch (error) {
        const ms = pause(error, n)
        if (n >= TRIES || !mayEnd(error) || waited + ms > WAIT_MS) throw error
        waited += ms
        if (error.status === 429) onWait(ms)
        await sleep(ms)
      }
    }
  }

  // Repeats what may be repeated as it was: every route of this API but login.
  function surely(method, path, { body, headers, sending, onWait } = {}) {
    const start = () => request(method, path, body, headers, sending)
    return tried(start, (error) => WILL_END.includes(error.kind), onWait)
  }

  // --- orders

  // Orders what `asked` says: the body of POST /orders, with its service_type. The key is kept until the server has
  // answered, so a lost answer, a crash or an impatient second tap end in the same order.
  function createOrder(asked, onStep = () => {}) {
    const body = JSON.stringify(asked)
    return once(`order ${body}`, () => {
      let pending = store.get(PENDING)
      if (!pending || pending.body !== body || pending.at < timers.now() - KEY_LIFE_MS) {
        pending = store.set(PENDING, { body, key: newKey(timers.now()), at: timers.now(), sent: false })
      }
      // `sent`: an order of this key may exist, perhaps paid on another phone. The server's no takes that back only for
      // the very request that it answers.
      const sending = async (start) => {
        const already = pending.sent
        pending = store.set(PENDING, Object.assign({}, pending, { sent: true }))
        try {
          return await start()
        } catch (error) {
          if (isNo(error)) pending = store.set(PENDING, Object.assign({}, pending, { sent: already }))
          throw error
        }
      }
      const start = async () => {
        try {
          const headers = { "Idempotency-Key": pending.key }
          const onWait = (ms) => onStep("wait", { ms })
          const order = shaped(await surely("POST", "/orders", { body: asked, headers, sending, onWait }), isOrder)
          store.remove(PENDING)
          learn(order.order_sn, order)
          return order
        } catch (error) {
          if (NEVER.includes(error.kind)) store.remove(PENDING)
          throw error
        }
      }
      return telling("create", undefined, start, { before: () => pending.sent === false })
    })
  }

  // What is on sale of one product.
  const getOffers = (service_type) =>
    telling("offers", undefined, async () => {
      const told = await surely("GET", `/catalogue/${service_type}`)
      return shaped(told, (it) => Array.isArray(it.offers))
    })

  // What is free of one offer, on the days from `from` to `to`, both of them 2026-12-01: nights or sessions, as the
  // product has them.
  const availability = (service_type, offer_id, from, to) =>
    telling("availability", undefined, async () => {
      const path = `/catalogue/${service_type}/${encodeURIComponent(offer_id)}/availability`
      return shaped(await surely("GET", `${path}?from=${from}&to=${to}`), isAvailability)
    })

  const getOrders = (before) =>
    telling("orders", undefined, async () => {
      const path = `/orders${before ? `?before=${encodeURIComponent(before)}` : ""}`
      const told = shaped(await surely("GET", path), (it) => Array.isArray(it.orders))
      told.orders.filter(isOrder).forEach((order) => learn(order.order_sn, order))
      return told
    })

  // One order. `patient: false`: asked once, for a page that asks again anyway.
  const getOrder = (order_sn, { patient = true } = {}) =>
    telling("order", order_sn, async () => {
      const path = `/orders/${order_sn}`
      const order = shaped(await (patient ? surely("GET", path) : request("GET", path)), isOrder)
      learn(order_sn, order)
      return order
    })

  // Cancels an order that is not paid. Throws `state` when it is, with a text that says so.
  const cancel = (order_sn) =>
    telling("cancel", order_sn, async () => {
      const order = shaped(await surely("POST", `/orders/${order_sn}/cancel`), isOrder)
      learn(order_sn, order)
      return order
    })

  // Gives a paid order up and asks for its money back -> { refund_fen, total_fen, needs_staff, state }. `dry_run: true`
  // asks what would come back, and changes nothing; `expected_refund_fen` is what the guest was shown of it: where it is
  // another sum by now nothing is done (`price`). Where staff decide, the order stays valid until they grant it; `reason`
  // is what the guest tells them. An answer that got lost may have been a yes: who gets the failure looks at the order.
  function refundRequest(order_sn, { dry_run = false, expected_refund_fen, reason } = {}) {
    const call = dry_run ? "quote" : "refund"
    let sent = false // whether it may have been done
    const sending = async (start) => {
      const already = sent
      sent = true
      try {
        return await start()
      } catch (error) {
        if (isNo(error)) sent = already
        throw error
      }
    }
    const ask = async () => {
      const expected = expected_refund_fen !== undefined && { expected_refund_fen }
      const body = Object.assign({ dry_run }, expected, reason && { reason })
      return shaped(await surely("POST", `/orders/${order_sn}/refund-request`, { body, sending }), isRefund)
    }
    return once(`${call} ${order_sn}`, () => telling(call, order_sn, ask, { unsure: () => sent && !dry_run }))
  }

  // --- paying

  // Asks whether messages may be sent. Call it in the tap itself; whatever the answer, paying goes on.
  function subscribe(service_type) {
    const ids = templatesOf(templateIds, service_type).slice(0, 3)
    if (!ids.length || !wx.requestSubscribeMessage) return Promise.resolve()
    return callWx("requestSubscribeMessage", { tmplIds: ids }, SUBSCRIBE_MS).catch(() => {})
  }

  // One cashier per order at a time. How it ended is kept, for the page that shows the order next.
  const paying = (order_sn, subscribed, onStep) =>
    once(`pay ${order_sn}`, async () => {
      try {
        return (ends[order_sn] = await payOrder(order_sn, subscribed, onStep))
      } catch (error) {
        ends[order_sn] = error
        throw error
      }
    })

  // Pays an order -> { outcome: 'paid' | 'hold' | 'cancelled' | 'waiting' | 'closed', text, order_status, ... }.
  // Call it in the tap. `onStep('wait', { ms })` when the server wants us to wait before it opens the cashier.
  function pay(order_sn, onStep = () => {}) {
    return once(`tap ${order_sn}`, () => paying(order_sn, subscribe(products[order_sn]), onStep))
  }

  // One tap: orders what `asked` says, then pays it. `onStep('order', order)` hands the order over as soon as it exists.
  function buy(asked, onStep = () => {}) {
    return once(`buy ${JSON.stringify(asked)}`, async () => {
      const subscribed = subscribe(asked.service_type)
      const order = await createOrder(asked, onStep)
      onStep("order", order)
      return paying(order.order_sn, subscribed, onStep)
    })
  }

  async function payOrder(order_sn, subscribed, onStep) {
    for (let fresh = false; ; fresh = true) {
      onStep("prepay")
      let fields
      try {
        fields = await telling("prepay", order_sn, async () => {
          const onWait = (ms) => onStep("wait", { ms })
          return shaped(
            await surely("POST", `/orders/${order_sn}/prepay`, { body: fresh ? { fresh } : {}, onWait }),
            isPrepay,
          )
        })
      } catch (error) {
        if (error.kind !== "state") throw error
        // It is paid on another phone, or over, or will be in a moment: no cashier opens for it any more.
        const told = await follow(order_sn, onStep, 0)
        if (told.payment_status === "SUCCESS") return follow(order_sn, onStep)
        return told.outcome === "waiting" && !told.unanswered ? outcome("closed", told, texts.outcome.unpayable) : told
      }
      await subscribed
      onStep("cashier")
      opened(order_sn)
      const local = await cashier(order_sn, fields)
      if (local === "ok") return follow(order_sn, onStep)
      const told = await look(order_sn)
      if (told.outcome !== "waiting" || told.unanswered || told.payment_status === "SUCCESS") {
        return follow(order_sn, onStep)
      }
      if (local === "cancel") return outcome("cancelled", told)
      // The cashier refused: perhaps its prepay_id is too old. A new one for the same trade, once.
      if (fresh) {
        await telling("cashier", order_sn, async () => {
          throw fail("cashier", { why: local })
        })
      }
    }
  }

  // 'ok', 'cancel' or the cashier's words; or 'ok' when the server knows of the end before the phone does.
  async function cashier(order_sn, fields) {
    let open = true
    const { timeStamp, nonceStr, package: prepaid, signType, paySign } = fields
    const local = callWx("requestPayment", { timeStamp, nonceStr, package: prepaid, signType, paySign }).then(
      () => "ok",
      (told) => (/cancel/.test(told.errMsg || "") ? "cancel" : told.errMsg || told.message || "requestPayment:fail"),
    )
    const elsewhere = (async () => {
      for (;;) {
        await sleep(CASHIER_LOOK_MS)
        if (!open) return "ok"
        const told = await look(order_sn)
        if (told.outcome !== "waiting") return "ok"
      }
    })()
    const end = await Promise.race([local, elsewhere])
    open = false
    return end
  }

  // Where the payment stands, asked once. Without an answer: 'waiting'.
  function look(order_sn) {
    return telling("poll", order_sn, async () => {
      try {
        return judged(order_sn, shaped(await request("GET", `/orders/${order_sn}/payment`), isPayment))
      } catch (error) {
        if (!["offline", "busy", "often", "broken", "signin"].includes(error.kind)) throw error
        const told = {
          order_sn,
          poll_after_ms: Math.min(error.retryAfterMs, WAIT_MS) || LOOK_MS,
          unanswered: error.kind,
        }
        const { moment, word } = known[order_sn] || { moment: "unknown" }
        const note = sentence(texts, "poll", moment, error.kind, word)
        return outcome("waiting", Object.assign(told, { note }), moment === "paid" ? texts.outcome.arrived : undefined)
      }
    })
  }

  // Polls as the server says until it is known, patience ends, or the server says that nothing more will come.
  function follow(order_sn, onStep = () => {}, patienceMs = PATIENCE_MS) {
    return once(`follow ${order_sn}`, async () => {
      const until = timers.now() + patienceMs
      for (;;) {
        onStep("poll")
        const told = await look(order_sn)
        if (told.outcome !== "waiting" || told.poll_after_ms === null || timers.now() >= until) return told
        await sleep(told.poll_after_ms)
      }
    })
  }

  // What the server says of a payment, as an outcome. The code is given only while it can be used.
  function judged(order_sn, told) {
    learn(order_sn, { status: told.order_status, payment_status: told.payment_status, on_hold: told.on_hold })
    const { name, text } = verdict(told.order_status, told)
    const code = name === "paid" && told.order_status === "WAIT_USE" ? told.redeem_code : null
    return outcome(
      name,
      Object.assign({}, told, { redeem_code: code, poll_after_ms: pollOf(told.poll_after_ms) }),
      text,
    )
  }

  function verdict(status, { on_hold, payment_status }) {
    if (status === "REFUNDED") return { name: "closed", text: texts.outcome.refunded }
    if (on_hold === true) return { name: "hold" }
    if (PAID.includes(status)) return { name: "paid" }
    if (status === "CANCELLED") return { name: "closed" }
    return { name: "waiting", text: payment_status === "SUCCESS" ? texts.outcome.arrived : undefined }
  }

  // The same of an order: what a page that has it says of its money.
  function outcomeOf(order) {
    const { name, text } = verdict(order.status, order)
    return { outcome: name, text: text || texts.outcome[name] }
  }

  const outcome = (name, told, text) => Object.assign({}, told, { outcome: name, text: text || texts.outcome[name] })

  return {
    texts,
    offers: getOffers,
    orders: getOrders,
    order: getOrder,
    cancel,
    availability,
    refundRequest,
    signIn: token,
    createOrder,
    buy,
    pay,
    look,
    follow,
    outcomeOf,
    last: (order_sn) => ends[order_sn] || null,
  }
}

// The phone's storage, and memory in its place where it is full or broken.
function storage(wx) {
  const memory = {}
  return {
    get(key) {
      if (key in memory) return memory[key]
      try {
        return wx.getStorageSync(key) || null
      } catch (error) {
        return null
      }
    },
    set(key, value) {
      memory[key] = value
      try {
        wx.setStorageSync(key, value)
      } catch (error) {
        // it lives as long as the app does
      }
      return value
    },
    remove(key) {
      memory[key] = null
      try {
        wx.removeStorageSync(key)
      } catch (error) {
        // what cannot be removed is hidden by memory
      }
    },
  }
}

// How long to wait before the next try: what the server says, or longer each time, and never all phones at once.
function pause(error, n) {
  return Math.round(Math.max(error.retryAfterMs || 0, 500 * 2 ** n) * (1 + Math.random() / 4))
}

// Milliseconds of a Retry-After: seconds, or a date.
function waitOf(retryAfter, now) {
  const seconds = Number(retryAfter)
  const ms = seconds >= 0 ? seconds * 1000 : Date.parse(retryAfter) - now
  return ms > 0 ? ms : 0
}

// When to look again: null is never; what is no time, or hardly one, is a moment.
function pollOf(ms) {
  if (ms === null) return null
  return typeof ms === "number" && ms >= 0 ? Math.min(Math.max(ms, LEAST_LOOK_MS), LONGEST_LOOK_MS) : LOOK_MS
}

// Whether the server, or the gateway in front of it, has said no to this very request.
function isNo({ status, problem }) {
  return status === 401 || status === 403 || status === 429 || Boolean(problem && status >= 400 && status < 500)
}

const isText = (value) => typeof value === "string" && value !== ""
const isOrder = (told) => Boolean(told) && isText(told.order_sn) && isText(told.status)
const isFen = (value) => Number.isInteger(value) && value >= 0
const isPrice = (value) => value === null || isFen(value)
const isNight = (told) => Boolean(told) && isText(told.date) && isPrice(told.price_fen) && Number.isInteger(told.free)
const isSession = (told) =>
  Boolean(told) && isText(told.session) && isFen(told.price_fen) && Number.isInteger(told.free)
const isAvailability = ({ nights, sessions }) =>
  Array.isArray(nights) ? nights.every(isNight) : Array.isArray(sessions) && sessions.every(isSession)
const isRefund = (told) =>
  isFen(told.refund_fen) && isFen(told.total_fen) && typeof told.needs_staff === "boolean" && isText(told.state)
const isPayment = (told) => isText(told.order_status)
const isPrepay = (told) =>
  ["timeStamp", "nonceStr", "package", "signType", "paySign"].every((name) => isText(told[name]))

// An answer of another shape than ours is no answer.
function shaped(told, is) {
  if (!is(told)) {
    throw new PayError("broken", { status: 200, problem: null, retryAfterMs: 0, why: "an answer of another shape" })
  }
  return told
}

// Which messages to ask for: of the product, or of all when the order's is not known.
function templatesOf(ids, service_type) {
  if (Array.isArray(ids)) return ids
  return service_type ? ids[service_type] || [] : Array.from(new Set([].concat(...Object.values(ids))))
}

// Thirty-two characters that no other order has.
function newKey(now) {
  const part = () => Math.random().toString(36).slice(2, 12).padEnd(10, "0")
  return `${now.toString(36)}_${part()}${part()}`
}

function parsed(data) {
  if (typeof data !== "string") return data && typeof data === "object" ? data : null
  try {
    return JSON.parse(data)
  } catch (error) {
    return null // a gateway's HTML
  }
}

function headerOf(reply, name) {
  const headers = reply.header || {}
  const found = Object.keys(headers).find((key) => key.toLowerCase() === name)
  return found && headers[found]
}

const TIMERS = { now: () => Date.now(), start: (run, ms) => setTimeout(run, ms), stop: (timer) => clearTimeout(timer) }

module.exports = { createPay, PayError, TEXTS, MOMENTS, CLAIMS }
