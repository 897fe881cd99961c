// What the counter shows of what was bought, by service_type: lines of [name, text]. Of a product that is not here, every
// field by its own name.

import { lang } from "./lang.js"

const T = {
  zh: { stay: "入住", nights: "晚", people: "人", food: "含餐", remark: "备注" },
  en: { stay: "Stay", nights: "nights", people: "guests", food: "with meals", remark: "Remark" },
}[lang]

function homestay({ start_date, end_date, nights, people, need_food, remark }) {
  const parts = [`${start_date} – ${end_date}`, `${nights} ${T.nights}`, `${people} ${T.people}`]
  const text = [...parts, ...(need_food ? [T.food] : [])].join(" · ")
  return [[T.stay, text], ...(remark ? [[T.remark, remark]] : [])]
}

const LINES = { homestay }

export function purchaseLines({ service_type, purchase }) {
  const lines = LINES[service_type] ?? (({ title: _, ...fields }) => Object.entries(fields))
  return lines(purchase)
}
