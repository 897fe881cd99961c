// The live trace on a page of its own: of the order that the address names, or of the newest.

import { lang, switchLang } from "./lang.js"
import { mountTrace } from "./trace.js"

const button = document.getElementById("lang")
button.textContent = lang === "zh" ? "English" : "中文"
button.lang = lang === "zh" ? "en" : "zh-CN"
button.addEventListener("click", switchLang)
mountTrace(document.getElementById("trace"))
const show = (order_sn) => document.dispatchEvent(new CustomEvent("order", { detail: order_sn }))
const asked = new URLSearchParams(location.search).get("order_sn")
if (asked) show(asked)
else new EventSource("/live/orders").addEventListener("newest", (event) => show(JSON.parse(event.data).order_sn))
