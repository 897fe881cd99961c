// The laptop cloud's page: the phone, and beside it what happens behind.

import { h } from "./dom.js"
import { lang, switchLang } from "./lang.js"
import { mountPhone } from "./phone/phone.js"
import { mountTrace } from "./trace.js"

const LINKS = {
  zh: [
    ["counter.html", "前台"],
    ["docs/", "接口文档"],
    ["wechat", "微信模拟器"],
  ],
  en: [
    ["counter.html", "Counter"],
    ["docs/", "API"],
    ["wechat", "WeChat simulator"],
  ],
}[lang]

const links = document.getElementById("links")
for (const [href, textContent] of LINKS) links.append(h("a", { href, textContent, target: "_blank" }))
links.append(h("button", { textContent: lang === "zh" ? "English" : "中文", onclick: switchLang }))

mountTrace(document.getElementById("trace"))
mountPhone(document.getElementById("phone"))
