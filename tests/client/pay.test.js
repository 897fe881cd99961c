// pay.js against a wx that fails in every way the real one does, and a server that answers as ours does.
const assert = require('node:assert/strict')
const { beforeEach, test } = require('node:test')
const { createPay, PayError, TEXTS } = require('../../miniprogram/pay.js')

const STAY = { homestay_id: 'lake-house', start_date: '2026-12-01', end_date: '2026-12-03', people: 2, need_food: true }
const FIELDS = { timeStamp: '1', nonceStr: 'n', package: 'prepay_id=wx1', signType: 'RSA', paySign: 's', out_trade_no: 'HSO1_1' }
const BUSY = { status: 503, body: { type: 'urn:wxpay:wechat-unavailable', status: 503 }, header: { 'Retry-After': '3' } }
const UNPAID = { order_sn: 'HSO1', order_status: 'WAIT_PAY', payment_status: 'NOTPAY', redeem_code: null, poll_after_ms: 1000 }
const PAID = { ...UNPAID, order_status: 'WAIT_USE', payment_status: 'SUCCESS', redeem_code: 'ABCDEFGHJK', poll_after_ms: null }
const REFUSED_TOKEN = { status: 403, body: { message: 'Forbidden' } }

// Virtual time: it moves to the next timer when nothing else is left to do.
class Timers {
  time = 1_800_000_000_000
  waiting = []
  now = () => this.time
  sleep = (ms) => new Promise((resolve) => this.waiting.push({ at: this.time + ms, resolve }))

  async run(promise) {
    let done = false
    const end = () => (done = true)
    promise.then(end, end)
    for (;;) {
      for (let turn = 0; turn < 6; turn++) await new Promise(setImmediate)
      if (done) return promise
      this.waiting.sort((a, b) => a.at - b.at)
      const next = this.waiting.shift()
      assert.ok(next, 'it waits for something that never comes')
      this.time = Math.max(this.time, next.at)
      next.resolve()
    }
  }
}

// The server and the phone. `replies[route]` are used up in turn, the last one stays; a reply is { status, body },
// 'lost' (it took effect, the answer did not come), 'offline', 'never' (no callback at all) or 'throws'.
class World {
  timers = new Timers()
  calls = []
  stored = {}
  orders = new Map()
  cashier = ['ok']
  subscription = 'ok'
  logins = 0
  replies = {
    'POST /login': [() => ({ status: 200, body: { token: `token-${++this.logins}`, expires_in: 7200, user_id: 'u1' } })],
    'POST /orders': [(options) => ({ status: 201, body: this.ordered(options.header['Idempotency-Key']) })],
    'POST /orders/HSO1/prepay': [{ status: 200, body: FIELDS }],
    'GET /orders/HSO1/payment': [{ status: 200, body: PAID }],
    'GET /homestays': [{ status: 200, body: { homestays: [] } }],
  }

  ordered(key) {
    if (!this.orders.has(key)) this.orders.set(key, { order_sn: `HSO${this.orders.size + 1}`, status: 'WAIT_PAY' })
    return this.orders.get(key)
  }

  wx = {
    login: ({ success }) => success({ code: `code-${this.calls.length}`, errMsg: 'login:ok' }),
    getStorageSync: (key) => this.stored[key] || '',
    setStorageSync: (key, value) => (this.stored[key] = JSON.parse(JSON.stringify(value))),
    removeStorageSync: (key) => delete this.stored[key],
    request: (options) => {
      const route = `${options.method} ${new URL(options.url).pathname}`
      this.calls.push({ route, ...options, body: options.data && JSON.parse(options.data) })
      const queue = this.replies[route]
      assert.ok(queue, `no answer to ${route}`)
      let reply = queue.length > 1 ? queue.shift() : queue[0]
      if (reply === 'lost') {
        queue[0](options)
        reply = 'offline'
      }
      if (typeof reply === 'function') reply = reply(options)
      if (reply === 'never') return
      if (reply === 'throws') throw new Error('request is not available')
      const told =
        reply === 'offline'
          ? { errMsg: 'request:fail net::ERR_INTERNET_DISCONNECTED' }
          : { errMsg: 'request:ok', statusCode: reply.status, data: reply.body, header: reply.header }
      const answer = () => {
        if (reply === 'offline') options.fail(told)
        else options.success(told)
        options.complete(told)
      }
      if (reply.after) this.timers.sleep(reply.after).then(answer)
      else setImmediate(answer)
    },
    requestPayment: (options) => {
      this.calls.push({ route: 'cashier', ...options })
      const end = this.cashier.length > 1 ? this.cashier.shift() : this.cashier[0]
      if (end === 'ok') options.success({ errMsg: 'requestPayment:ok' })
      else if (end === 'old cancel') options.complete({ errMsg: 'requestPayment:cancel' })
      else if (end !== 'never') options.fail({ errMsg: `requestPayment:fail ${end}` })
    },
    requestSubscribeMessage: (options) => {
      this.calls.push({ route: 'subscribe', ...options })
      if (this.subscription === 'ok') options.success({ errMsg: 'requestSubscribeMessage:ok', T1: 'accept' })
      else if (this.subscription !== 'never') options.fail({ errMsg: 'requestSubscribeMessage:fail', errCode: 20004 })
    },
  }

  client(more) {
    return createPay({ baseUrl: 'https://api.example.com', templateIds: ['T1', 'T2', 'T3', 'T4'], wx: this.wx, timers: this.timers, ...more })
  }

  routes(part = '') {
    return this.calls.map((call) => call.route).filter((route) => route.includes(part))
  }
}

let world
let pay
const run = (promise) => world.timers.run(promise)
const refused = (promise, kind) =>
  assert.rejects(run(promise), (error) => {
    assert.ok(error instanceof PayError, error.stack)
    assert.equal(error.kind, kind)
    assert.equal(error.text, TEXTS.zh[kind])
    return true
  })

beforeEach(() => {
  world = new World()
  pay = world.client()
})

// --- the straight way

test('one tap: asks for messages first, orders, pays, and believes only the server', async () => {
  const steps = []
  const told = await run(pay.buy(STAY, (step) => steps.push(step)))
  assert.deepEqual([told.outcome, told.redeem_code, told.text], ['paid', 'ABCDEFGHJK', '支付成功'])
  assert.deepEqual(world.routes(), ['subscribe', 'POST /login', 'POST /orders', 'POST /orders/HSO1/prepay', 'cashier', 'GET /orders/HSO1/payment'])
  assert.deepEqual(steps, ['order', 'prepay', 'cashier', 'poll'])
  assert.deepEqual(world.calls[0].tmplIds, ['T1', 'T2', 'T3'])
  const { timeStamp, nonceStr, package: prepaid, signType, paySign, out_trade_no } = world.calls[4]
  assert.deepEqual([timeStamp, nonceStr, prepaid, signType, paySign, out_trade_no], ['1', 'n', 'prepay_id=wx1', 'RSA', 's', undefined])
  assert.equal(world.calls[2].header.Authorization, 'Bearer token-1')
})

test('messages are asked for in the tap itself, before anything is awaited', () => {
  pay.pay('HSO1')
  assert.deepEqual(world.routes(), ['subscribe'])
})

test('polls as the server says, not more often', async () => {
  world.replies['GET /orders/HSO1/payment'] = [
    { status: 200, body: UNPAID },
    { status: 200, body: { ...UNPAID, poll_after_ms: 5000 } },
    { status: 200, body: { ...UNPAID, payment_status: 'SUCCESS', poll_after_ms: 300 } },
    { status: 200, body: PAID },
  ]
  const started = world.timers.now()
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
  assert.equal(world.timers.now() - started, 1000 + 5000 + 300)
})

test('paid on the phone is not paid: without the server it is still waiting, and may be followed on', async () => {
  world.replies['GET /orders/HSO1/payment'] = [{ status: 200, body: UNPAID }]
  const told = await run(pay.pay('HSO1'))
  assert.deepEqual([told.outcome, told.text], ['waiting', TEXTS.zh.waiting])
  assert.ok(world.routes('payment').length <= 62)
  world.replies['GET /orders/HSO1/payment'] = [{ status: 200, body: PAID }]
  assert.equal((await run(pay.follow('HSO1'))).outcome, 'paid')
})

test('in English', async () => {
  assert.equal((await run(world.client({ lang: 'en' }).pay('HSO1'))).text, 'Paid')
  assert.deepEqual(Object.keys(TEXTS.en), Object.keys(TEXTS.zh))
})

// --- the cashier

for (const cancel of ['cancel', 'old cancel']) {
  test(`the user closes the cashier (${cancel})`, async () => {
    world.cashier = [cancel]
    world.replies['GET /orders/HSO1/payment'] = [{ status: 200, body: UNPAID }]
    assert.equal((await run(pay.pay('HSO1'))).outcome, 'cancelled')
    assert.equal(world.routes('payment').length, 1)
  })
}

test('the user closes the cashier of an order that is paid already', async () => {
  world.cashier = ['cancel']
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
})

test('the user closes the cashier while the server cannot be asked: it is checked, not called unpaid', async () => {
  world.cashier = ['cancel']
  world.replies['GET /orders/HSO1/payment'] = ['offline']
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'waiting')
})

test('a cashier that refuses gets a fresh prepay, once', async () => {
  world.cashier = ['prepay_id已过期', 'ok']
  world.replies['GET /orders/HSO1/payment'] = [{ status: 200, body: UNPAID }, { status: 200, body: PAID }]
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
  assert.deepEqual(world.calls.filter((call) => call.route.endsWith('prepay')).map((call) => call.body), [{}, { fresh: true }])
})

test('a cashier that refuses twice is an error with a text, and the phone can try again', async () => {
  world.cashier = ['no permission']
  world.replies['GET /orders/HSO1/payment'] = [{ status: 200, body: UNPAID }]
  await refused(pay.pay('HSO1'), 'cashier')
  assert.equal(world.routes('cashier').length, 2)
  world.cashier = ['ok']
  world.replies['GET /orders/HSO1/payment'] = [{ status: 200, body: PAID }]
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
})

test('a cashier that never says how it ended: the server knows', async () => {
  world.cashier = ['never']
  world.replies['GET /orders/HSO1/payment'] = [{ status: 200, body: UNPAID }, { status: 200, body: PAID }]
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
})

test('an order that is paid on another phone, or over: no cashier opens', async () => {
  world.replies['POST /orders/HSO1/prepay'] = [{ status: 409, body: { type: 'urn:wxpay:order-state', order_status: 'WAIT_USE' } }]
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
  for (const [order_status, text] of [['CANCELLED', 'closed'], ['REFUNDED', 'refunded'], ['WAIT_PAY', 'closed']]) {
    world.replies['GET /orders/HSO1/payment'] = [{ status: 200, body: { ...UNPAID, order_status } }]
    const told = await run(pay.pay('HSO1'))
    assert.deepEqual([told.outcome, told.text], ['closed', TEXTS.zh[text]])
  }
  assert.deepEqual(world.routes('cashier'), [])
})

test('a payment that has just arrived is waited for, not called closed', async () => {
  world.replies['POST /orders/HSO1/prepay'] = [{ status: 409, body: { type: 'urn:wxpay:order-state' } }]
  const arrived = { status: 200, body: { ...UNPAID, payment_status: 'SUCCESS', poll_after_ms: 300 } }
  world.replies['GET /orders/HSO1/payment'] = [arrived, arrived, { status: 200, body: PAID }]
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
})

test('the cashier opens when the guest has answered about messages, not over the question', async () => {
  let answer
  world.wx.requestSubscribeMessage = (options) => (answer = () => options.success({ errMsg: 'requestSubscribeMessage:ok' }))
  const paid = pay.pay('HSO1')
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  assert.deepEqual(world.routes('prepay').length, 1)
  assert.deepEqual(world.routes('cashier'), [])
  answer()
  assert.equal((await run(paid)).outcome, 'paid')
})

for (const subscription of ['fails', 'never']) {
  test(`messages that cannot be asked for do not stop a payment (${subscription})`, async () => {
    world.subscription = subscription
    assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
  })
}

test('an old WeChat without subscription messages, and an app without templates', async () => {
  assert.equal((await run(world.client({ templateIds: [] }).pay('HSO1'))).outcome, 'paid')
  delete world.wx.requestSubscribeMessage
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
  assert.deepEqual(world.routes('subscribe'), [])
})

// --- signing in

test('signs in once for many requests at once, and keeps the token over a restart', async () => {
  await run(Promise.all([pay.homes(), pay.homes(), pay.pay('HSO1')]))
  await run(world.client().homes())
  assert.equal(world.logins, 1)
})

test('two requests whose token is refused, one of them late, sign in again once', async () => {
  world.replies['GET /homestays'].unshift(REFUSED_TOKEN)
  world.replies['GET /orders'] = [{ ...REFUSED_TOKEN, after: 5000 }, { status: 200, body: { orders: [] } }]
  await run(Promise.all([pay.homes(), pay.orders()]))
  assert.equal(world.logins, 2)
})

test('a token that is about to expire is not used', async () => {
  await run(pay.homes())
  world.timers.time += 7200_000 - 30_000
  await run(pay.homes())
  assert.equal(world.logins, 2)
})

for (const no of [REFUSED_TOKEN, { status: 401, body: { message: 'Unauthorized' } }, { status: 401, body: { type: 'urn:wxpay:unauthorized' } }]) {
  test(`a token refused in the middle of paying (${no.status} ${Object.keys(no.body)}): signed in again, the order is kept`, async () => {
    world.replies['POST /orders/HSO1/prepay'].unshift(no)
    world.replies['GET /orders/HSO1/payment'].unshift(no)
    const told = await run(pay.buy(STAY))
    assert.equal(told.outcome, 'paid')
    assert.deepEqual([world.logins, world.orders.size], [3, 1])
    assert.equal(world.calls.at(-1).header.Authorization, 'Bearer token-3')
  })
}

test('tokens that are refused for ever end in a text, not in a circle', async () => {
  world.replies['GET /homestays'] = [REFUSED_TOKEN]
  await refused(pay.homes(), 'signin')
  assert.equal(world.logins, 2)
})

test("the API's own 403 is not about the token", async () => {
  world.replies['GET /homestays'] = [{ status: 403, body: { type: 'urn:wxpay:staff-only' } }]
  await refused(pay.homes(), 'broken')
  assert.equal(world.logins, 1)
})

test('a login whose answer got lost takes a new code', async () => {
  world.replies['POST /login'].unshift('offline', { status: 401, body: { type: 'urn:wxpay:bad-code' } })
  await run(pay.homes())
  const codes = world.calls.filter((call) => call.route === 'POST /login').map((call) => call.body.code)
  assert.equal(new Set(codes).size, 3)
})

test('wx.login that fails, or gives no code', async () => {
  world.wx.login = ({ fail }) => fail({ errMsg: 'login:fail' })
  await refused(pay.homes(), 'signin')
  world.wx.login = ({ success }) => success({ errMsg: 'login:ok' })
  await refused(pay.homes(), 'signin')
  world.wx.login = () => {}
  await refused(pay.homes(), 'signin')
})

test('a login code that WeChat does not know three times', async () => {
  world.replies['POST /login'] = [{ status: 401, body: { type: 'urn:wxpay:bad-code' } }]
  await refused(pay.homes(), 'signin')
  assert.equal(world.routes('login').length, 3)
})

// --- never twice

test('two taps are one order and one cashier', async () => {
  const [first, second] = await run(Promise.all([pay.buy(STAY), pay.buy(STAY)]))
  assert.equal(first, second)
  assert.deepEqual([world.orders.size, world.routes('cashier').length], [1, 1])
})

for (const trouble of ['lost', 'offline', 'never', 'throws', BUSY, { status: 502, body: '<html>bad gateway</html>' }]) {
  test(`an order whose answer is ${trouble.status || trouble} is asked for again with the same key`, async () => {
    world.replies['POST /orders'].unshift(trouble)
    assert.equal((await run(pay.buy(STAY))).outcome, 'paid')
    assert.equal(world.orders.size, 1)
  })
}

test('an app that is killed after the order, before its answer: the same key after the restart', async () => {
  const [answer] = world.replies['POST /orders']
  world.replies['POST /orders'] = [(options) => (answer(options), 'offline')]
  await refused(pay.buy(STAY), 'offline')
  world.replies['POST /orders'] = [answer]
  const told = await run(world.client().buy(STAY))
  assert.deepEqual([told.outcome, world.orders.size], ['paid', 1])
})

test('the same stay again, on purpose, is a new order; so is another stay', async () => {
  await run(pay.createOrder(STAY))
  await run(pay.createOrder(STAY))
  await run(pay.createOrder({ ...STAY, people: 1 }))
  assert.equal(world.orders.size, 3)
})

test('what went wrong in wx itself is told to who asks', async () => {
  world.replies['GET /homestays'].unshift('throws', 'throws', 'throws')
  await assert.rejects(run(pay.homes()), { kind: 'offline', why: 'request is not available' })
})

test('another stay, after one whose answer never came, has a key of its own', async () => {
  world.replies['POST /orders'].unshift('offline', 'offline', 'offline')
  await refused(pay.createOrder(STAY), 'offline')
  await run(pay.createOrder({ ...STAY, people: 1 }))
  const keys = world.calls.filter((call) => call.route === 'POST /orders').map((call) => call.header['Idempotency-Key'])
  assert.equal(new Set(keys).size, 2)
})

test('a key that the server has forgotten is not used again', async () => {
  world.replies['POST /orders'].unshift('offline', 'offline', 'offline')
  await refused(pay.createOrder(STAY), 'offline')
  world.timers.time += 7 * 24 * 3600_000
  await run(pay.createOrder(STAY))
  const keys = world.calls.filter((call) => call.route === 'POST /orders').map((call) => call.header['Idempotency-Key'])
  assert.equal(new Set(keys).size, 2)
  for (const key of keys) assert.match(key, /^[0-9A-Za-z_-]{8,64}$/)
})

test('a stay that is refused tells the field, and is forgotten', async () => {
  const problem = { type: 'urn:wxpay:invalid', status: 422, field: 'body.people' }
  world.replies['POST /orders'] = [{ status: 422, body: problem }]
  await assert.rejects(run(pay.buy(STAY)), (error) => error.kind === 'invalid' && error.problem.field === 'body.people')
  assert.equal(world.stored['wxpay.pending'], undefined)
  assert.equal(world.routes('POST /orders').length, 1)
})

// --- a server in trouble

test('503 at prepay: waits as long as it says, then nothing was charged', async () => {
  world.replies['POST /orders/HSO1/prepay'] = [BUSY]
  const started = world.timers.now()
  await refused(pay.pay('HSO1'), 'busy')
  assert.match(TEXTS.zh.busy, /没有扣款/)
  assert.ok(world.timers.now() - started >= 6000)
  assert.equal(world.routes('prepay').length, 3)
})

test('503 and no network while it is checked: it goes on being checked', async () => {
  world.replies['GET /orders/HSO1/payment'] = [BUSY, 'offline', 'never', { status: 500, body: { type: 'urn:wxpay:internal' } }, { status: 200, body: PAID }]
  assert.equal((await run(pay.pay('HSO1'))).outcome, 'paid')
})

test('WeChat does not accept the payment: a text of its own', async () => {
  world.replies['POST /orders/HSO1/prepay'] = [{ status: 502, body: { type: 'urn:wxpay:wechat-refused', code: 'PARAM_ERROR' } }]
  await refused(pay.pay('HSO1'), 'refused')
  assert.equal(world.routes('prepay').length, 1)
})

test("an order that is not there, or is another's", async () => {
  world.replies['POST /orders/HSO1/prepay'] = [{ status: 404, body: { type: 'urn:wxpay:not-found' } }]
  await refused(pay.pay('HSO1'), 'missing')
})

test('data as text, headers in any case or none, a page in place of JSON', async () => {
  world.replies['GET /homestays'] = [{ status: 200, body: '{"homestays": [1]}' }]
  assert.deepEqual((await run(pay.homes())).homestays, [1])
  world.replies['GET /homestays'] = [{ status: 200, body: '<html>sign in to this wifi</html>' }]
  await refused(pay.homes(), 'broken')
  world.replies['GET /homestays'] = [{ status: 503, body: '', header: { 'retry-AFTER': 'soon' } }]
  await refused(pay.homes(), 'busy')
})

test('a storage that is full or broken does not stop a payment', async () => {
  for (const name of ['getStorageSync', 'setStorageSync', 'removeStorageSync']) {
    world.wx[name] = () => {
      throw new Error(`${name}:fail exceed storage limit`)
    }
  }
  assert.equal((await run(pay.buy(STAY))).outcome, 'paid')
  assert.deepEqual([world.logins, world.orders.size], [1, 1])
})
