// wechatpay-axios-plugin as its README shows it, but for base URL and keys. Input: JSON on stdin; output: JSON on stdout.
import { readFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"
import plugin from "wechatpay-axios-plugin"

const {
  Wechatpay,
  Formatter,
  Rsa,
  Aes: { AesGcm },
} = plugin
const given = JSON.parse(readFileSync(0, "utf8"))
const told = {}

const client = (changes = {}) =>
  new Wechatpay({
    mchid: given.mchid,
    serial: given.serial,
    privateKey: given.privateKey,
    certs: given.certs,
    secret: given.apiv3Key,
    baseURL: given.baseUrl,
    proxy: false,
    headers: { "Wechatpay-Serial": Object.keys(given.certs)[0] },
    ...changes,
  })

const outcome = async (work) => {
  try {
    const { status, data } = await work()
    return { status, data }
  } catch (error) {
    return { status: error.response?.status ?? 0, code: error.response?.data?.code, why: error.message }
  }
}

const wxpay = client()
const order = {
  appid: given.appid,
  mchid: given.mchid,
  description: "一间房",
  out_trade_no: "NODE0001",
  notify_url: "https://shop.example.com/notify",
  amount: { total: 100, currency: "CNY" },
  payer: { openid: given.openid },
}
const number = (n) => `v3/pay/transactions/out-trade-no/${n}`
told.prepay = await outcome(() => wxpay.v3.pay.transactions.jsapi.post(order))
told.query = await outcome(() => wxpay.chain(number("NODE0001")).get({ params: { mchid: given.mchid } }))
told.close = await outcome(() => wxpay.chain(`${number("NODE0001")}/close`).post({ mchid: given.mchid }))
const refund = {
  out_trade_no: given.paid,
  out_refund_no: "NODEREFUND1",
  amount: { refund: 40, total: 100, currency: "CNY" },
}
told.refund = await outcome(() => wxpay.v3.refund.domestic.refunds.post(refund))
told.refundQuery = await outcome(() => wxpay.chain("v3/refund/domestic/refunds/NODEREFUND1").get())

const bill = await wxpay.v3.bill.tradebill.get({ params: { bill_date: given.billDate, tar_type: "GZIP" } })
const url = new URL(bill.data.download_url)
const file = await wxpay.v3.billdownload.file.get({
  params: Object.fromEntries(url.searchParams),
  responseType: "arraybuffer",
})
const plain = gunzipSync(Buffer.from(file.data))
const { rows, summary } = Formatter.castCsvBill(plain)
told.bill = {
  hash: createHash("sha1").update(plain).digest("hex") === bill.data.hash_value,
  rows: rows.length,
  first: rows[0],
  summary,
}

const { headers, body } = given.notice
const signedText = Formatter.joinedByLineFeed(headers["Wechatpay-Timestamp"], headers["Wechatpay-Nonce"], body)
const key = Rsa.from(given.certs[headers["Wechatpay-Serial"]], Rsa.KEY_TYPE_PUBLIC)
const { resource } = JSON.parse(body)
told.notice = {
  verified: Rsa.verify(signedText, headers["Wechatpay-Signature"], key),
  tampered: Rsa.verify(`${signedText} `, headers["Wechatpay-Signature"], key),
  plaintext: JSON.parse(AesGcm.decrypt(resource.ciphertext, given.apiv3Key, resource.nonce, resource.associated_data)),
}

const wrongSerial = client({ serial: "0".repeat(40) })
told.wrongSerial = await outcome(() => wrongSerial.v3.pay.transactions.jsapi.post(order))
const wrongKey = client({ privateKey: given.otherPrivateKey })
told.wrongKey = await outcome(() => wrongKey.v3.pay.transactions.jsapi.post(order))
const distrustful = client({ certs: { [Object.keys(given.certs)[0]]: given.otherPublicKey } })
told.distrusted = await outcome(() => distrustful.chain(number(given.paid)).get({ params: { mchid: given.mchid } }))
told.stale = await outcome(() => wxpay.chain(number("STALE001")).get({ params: { mchid: given.mchid } }))

process.stdout.write(JSON.stringify(told))
