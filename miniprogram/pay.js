// pay.js: sign in, order and pay against wxpay-serverless, from a WeChat mini-program. One file, no dependency:
// copy it, and README.md beside it tells the rest.
//
// Three rules are behind all of it. What the phone says of a payment proves nothing: only the server's answer counts.
// A request whose answer got lost may have worked: it is repeated as it was, and the server makes one order, one trade
// of it. And nobody is told "failed" while money may be on its way.

const TIMEOUT_MS = 15000
const TRIES = 3
const PATIENCE_MS = 60000 // after the cashier has closed: then "still waiting", and the page may follow on
const CASHIER_LOOK_MS = 15000 // some phones never say how the cashier ended
const LOOK_MS = 2000 // between two looks when the server could not say
const SUBSCRIBE_MS = 60000
const TOKEN_MARGIN_MS = 60000
const KEY_LIFE_MS = 6 * 24 * 3600 * 1000 // the server keeps an Idempotency-Key for seven days

const TOKEN = 'wxpay.token'
const PENDING = 'wxpay.pending'

const PAID = ['WAIT_USE', 'USED', 'EXPIRED']

const TEXTS = {
  zh: {
    paid: '支付成功',
    cancelled: '还没有付款，订单为您保留，可以继续支付',
    waiting: '正在确认支付结果，请不要重复付款',
    closed: '订单已关闭。如果您已付款，款项会自动原路退回',
    refunded: '订单已退款',
    offline: '网络不通，没有扣款，请检查网络后重试',
    busy: '服务繁忙，没有扣款，请稍后重试',
    cashier: '微信支付没有完成，请稍后重试；如有扣款会自动确认',
    signin: '微信登录没有成功，请稍后重试',
    refused: '微信支付没有接受这笔订单，没有扣款',
    invalid: '填写的内容有误，请检查',
    missing: '没有找到这个订单',
    state: '订单的状态已经改变，请刷新',
    broken: '出了点问题，没有重复扣款，请稍后重试',
  },
  en: {
    paid: 'Paid',
    cancelled: 'Not paid yet. The order is kept for you; you can go on paying',
    waiting: 'The payment is being checked. Please do not pay twice',
    closed: 'The order is closed. If you have paid, the money comes back by itself',
    refunded: 'The order is refunded',
    offline: 'No network. Nothing was charged; try again when you are online',
    busy: 'The service is busy. Nothing was charged; try again in a moment',
    cashier: 'WeChat Pay did not finish; try again in a moment. If you were charged, it will be noticed',
    signin: 'WeChat sign-in did not work; try again in a moment',
    refused: 'WeChat Pay did not accept this order. Nothing was charged',
    invalid: 'Something you entered is not right; please check it',
    missing: 'There is no such order',
    state: 'The order has changed; please reload',
    broken: 'Something went wrong. Nothing was charged twice; try again in a moment',
  },
}

// What goes wrong before a cashier opens. `kind` is a name in TEXTS, `text` is for people, `status` and `problem` are
// the server's (RFC 9457), where it answered.
class PayError extends Error {
  constructor(kind, text, more) {
    super(kind)
    this.name = 'PayError'
    this.kind = kind
    this.text = text
    Object.assign(this, more)
  }
}

// createPay({ baseUrl, templateIds, lang, wx }) -> the client. One per app.
//   baseUrl      https://... of the API, without a slash at the end
//   templateIds  of the subscription messages that are asked for at the tap, at most three
//   lang         'zh' or 'en': the language of texts
//   wx           WeChat's wx
//   timers       { now, sleep }: for tests
function createPay({ baseUrl, templateIds = [], lang = 'zh', wx, timers = TIMERS }) {
  const texts = TEXTS[lang] || TEXTS.zh
  const running = {} // what is under way, by name: a second tap joins it
  const store = storage(wx)

  const fail = (kind, { status = 0, problem = null, retryAfterMs = 0, why = '' } = {}) =>
    new PayError(kind, texts[kind], { status, problem, retryAfterMs, why })

  // One promise per name at a time.
  function once(name, start) {
    if (!running[name]) {
      const end = () => delete running[name]
      running[name] = start()
      running[name].then(end, end)
    }
    return running[name]
  }

  // --- signing in

  function token() {
    const kept = store.get(TOKEN)
    return kept && kept.until > timers.now() ? Promise.resolve(kept) : once('signin', signIn)
  }

  // A login code works once, so a repeat takes a new one.
  async function signIn() {
    for (let n = 1; ; n++) {
      try {
        const { code } = await call('login', { timeout: TIMEOUT_MS }, TIMEOUT_MS).catch(() => {
          throw fail('signin')
        })
        if (!code) throw fail('signin')
        const told = await send('POST', '/login', { code })
        const until = timers.now() + told.expires_in * 1000 - TOKEN_MARGIN_MS
        return store.set(TOKEN, { token: told.token, until, user_id: told.user_id })
      } catch (error) {
        const taken = error.status === 401 // its answer got lost once: the code is used up
        if (n < TRIES && (taken || ['offline', 'busy', 'signin'].includes(error.kind))) await timers.sleep(pause(error, n))
        else throw taken ? fail('signin', error) : error
      }
    }
  }

  function forget(spoiled) {
    const kept = store.get(TOKEN)
    if (kept && kept.token === spoiled.token) store.remove(TOKEN)
  }

  // --- requests

  // A wx function as a promise; fails after `ms` if it never calls back.
  function call(name, options, ms) {
    return new Promise((resolve, reject) => {
      if (ms) timers.sleep(ms + 1000).then(() => reject({ errMsg: `${name}:fail timeout` }))
      // Old clients call complete alone when the user cancels.
      const complete = (told) => (/:ok$/.test((told && told.errMsg) || '') ? resolve(told) : reject(told || {}))
      wx[name](Object.assign({}, options, { success: resolve, fail: (told) => reject(told || {}), complete }))
    })
  }

  // One request, one answer. Throws PayError.
  async function send(method, path, body, headers) {
    const header = Object.assign({ Accept: 'application/json' }, headers)
    if (method !== 'GET') header['Content-Type'] = 'application/json'
    const options = { url: baseUrl + path, method, header, dataType: 'json', timeout: TIMEOUT_MS }
    if (body !== undefined) options.data = JSON.stringify(body)
    let reply
    try {
      reply = await call('request', options, TIMEOUT_MS)
    } catch (told) {
      throw fail('offline', { why: told.errMsg || told.message })
    }
    const status = reply.statusCode
    const data = parsed(reply.data)
    if (status >= 200 && status < 300 && data) return data
    throw refusal(status, data, headerOf(reply, 'retry-after'))
  }

  function refusal(status, data, retryAfter) {
    const problem = data && typeof data.type === 'string' ? data : null
    const more = { status: status || 0, problem, retryAfterMs: (Number(retryAfter) || 0) * 1000 }
    if (problem && problem.type === 'urn:wxpay:wechat-refused') return fail('refused', more)
    if (status === 422) return fail('invalid', more)
    if (status === 404 && problem) return fail('missing', more)
    if (status === 409) return fail('state', more)
    if (status === 429 || status === 502 || status === 503 || status === 504) return fail('busy', more)
    return fail('broken', more)
  }

  // A request in the user's name. A token that the gateway no longer takes is replaced once: its 401 and 403 are not
  // problem+json, the API's own 403 is.
  async function request(method, path, body, headers) {
    for (let first = true; ; first = false) {
      const mine = await token()
      try {
        return await send(method, path, body, Object.assign({ Authorization: `Bearer ${mine.token}` }, headers))
      } catch (error) {
        const refused = error.status === 401 || (error.status === 403 && !error.problem)
        if (!refused || !first) throw refused ? fail('signin', error) : error
        forget(mine)
      }
    }
  }

  // Repeats what may be repeated as it was: every route of this API but login.
  async function surely(method, path, body, headers) {
    for (let n = 1; ; n++) {
      try {
        return await request(method, path, body, headers)
      } catch (error) {
        if (n === TRIES || !['offline', 'busy'].includes(error.kind)) throw error
        await timers.sleep(pause(error, n))
      }
    }
  }

  // --- orders

  // Orders a stay. The key is kept until the server has answered, so a lost answer, a crash or an impatient second tap
  // end in the same order.
  function createOrder(stay) {
    const body = JSON.stringify(stay)
    return once(`order ${body}`, async () => {
      let pending = store.get(PENDING)
      if (!pending || pending.body !== body || pending.at < timers.now() - KEY_LIFE_MS) {
        pending = store.set(PENDING, { body, key: newKey(timers.now()), at: timers.now() })
      }
      try {
        const order = await surely('POST', '/orders', stay, { 'Idempotency-Key': pending.key })
        store.remove(PENDING)
        return order
      } catch (error) {
        if (error.kind === 'invalid') store.remove(PENDING) // it will never become an order
        throw error
      }
    })
  }

  // --- paying

  // Asks whether messages may be sent. Call it in the tap itself; whatever the answer, paying goes on.
  function subscribe() {
    if (!templateIds.length || !wx.requestSubscribeMessage) return Promise.resolve()
    return call('requestSubscribeMessage', { tmplIds: templateIds.slice(0, 3) }, SUBSCRIBE_MS).catch(() => {})
  }

  // Pays an order -> { outcome: 'paid' | 'cancelled' | 'waiting' | 'closed', text, order_status, redeem_code, ... }.
  // Call it in the tap. Throws PayError when no cashier could be opened; then nothing was charged.
  function pay(order_sn, onStep = () => {}) {
    return once(`pay ${order_sn}`, async () => {
      const subscribed = subscribe()
      return payOrder(order_sn, subscribed, onStep)
    })
  }

  // One tap: orders the stay, then pays it. `onStep('order', order)` hands the order over as soon as it exists.
  function buy(stay, onStep = () => {}) {
    return once(`buy ${JSON.stringify(stay)}`, async () => {
      const subscribed = subscribe()
      const order = await createOrder(stay)
      onStep('order', order)
      return payOrder(order.order_sn, subscribed, onStep)
    })
  }

  async function payOrder(order_sn, subscribed, onStep) {
    for (let fresh = false; ; fresh = true) {
      onStep('prepay')
      let fields
      try {
        fields = await surely('POST', `/orders/${order_sn}/prepay`, fresh ? { fresh } : {})
      } catch (error) {
        if (error.kind !== 'state') throw error
        // It is paid on another phone, or over, or will be in a moment: no cashier opens for it any more.
        const told = await follow(order_sn, onStep, 0)
        if (told.payment_status === 'SUCCESS') return follow(order_sn, onStep)
        return told.outcome === 'waiting' && !told.unanswered ? outcome('closed', told) : told
      }
      await subscribed
      onStep('cashier')
      const local = await cashier(order_sn, fields)
      if (local === 'ok') return follow(order_sn, onStep)
      const told = await look(order_sn)
      if (told.outcome !== 'waiting' || told.unanswered || told.payment_status === 'SUCCESS') return follow(order_sn, onStep)
      if (local === 'cancel') return outcome('cancelled', told)
      // The cashier refused: perhaps its prepay_id is too old. A new one for the same trade, once.
      if (fresh) throw fail('cashier', { why: local })
    }
  }

  // 'ok', 'cancel' or the cashier's words; or 'ok' when the server knows of the end before the phone does.
  async function cashier(order_sn, fields) {
    let open = true
    const { timeStamp, nonceStr, package: prepaid, signType, paySign } = fields
    const local = call('requestPayment', { timeStamp, nonceStr, package: prepaid, signType, paySign }).then(
      () => 'ok',
      (told) => (/cancel/.test(told.errMsg || '') ? 'cancel' : told.errMsg || 'requestPayment:fail'),
    )
    const elsewhere = (async () => {
      for (;;) {
        await timers.sleep(CASHIER_LOOK_MS)
        if (!open) return 'ok'
        const told = await look(order_sn)
        if (told.outcome !== 'waiting') return 'ok'
      }
    })()
    const end = await Promise.race([local, elsewhere])
    open = false
    return end
  }

  // Where the payment stands, asked once. Without an answer: 'waiting'.
  async function look(order_sn) {
    try {
      return judged(await request('GET', `/orders/${order_sn}/payment`))
    } catch (error) {
      if (!['offline', 'busy', 'broken', 'signin'].includes(error.kind)) throw error
      return outcome('waiting', { order_sn, poll_after_ms: error.retryAfterMs || LOOK_MS, unanswered: error.kind })
    }
  }

  // Polls as the server says until it is known, or patience ends.
  function follow(order_sn, onStep = () => {}, patienceMs = PATIENCE_MS) {
    return once(`follow ${order_sn}`, async () => {
      const until = timers.now() + patienceMs
      for (;;) {
        onStep('poll')
        const told = await look(order_sn)
        if (told.outcome !== 'waiting' || timers.now() >= until) return told
        await timers.sleep(told.poll_after_ms || LOOK_MS)
      }
    })
  }

  function judged(told) {
    if (told.order_status === 'WAIT_PAY') return outcome('waiting', told)
    if (told.order_status === 'REFUNDED') return Object.assign(outcome('closed', told), { text: texts.refunded })
    return outcome(PAID.includes(told.order_status) ? 'paid' : 'closed', told)
  }

  const outcome = (name, told) => Object.assign({}, told, { outcome: name, text: texts[name] })

  return {
    texts,
    homes: () => surely('GET', '/homestays'),
    orders: (before) => surely('GET', `/orders${before ? `?before=${encodeURIComponent(before)}` : ''}`),
    order: (order_sn) => surely('GET', `/orders/${order_sn}`),
    cancel: (order_sn) => surely('POST', `/orders/${order_sn}/cancel`),
    signIn: token,
    createOrder,
    buy,
    pay,
    look,
    follow,
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

// Thirty-two characters that no other order has.
function newKey(now) {
  const part = () => Math.random().toString(36).slice(2, 12).padEnd(10, '0')
  return `${now.toString(36)}_${part()}${part()}`
}

function parsed(data) {
  if (typeof data !== 'string') return data && typeof data === 'object' ? data : null
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

const TIMERS = { now: () => Date.now(), sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) }

module.exports = { createPay, PayError, TEXTS }
