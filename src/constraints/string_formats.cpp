#include "constraints/string_formats.h"

#include <algorithm>
#include <array>

namespace powerhouse::constraints {
namespace {

// Days that there are: the 29th of February in leap years alone, and no year 0.
const std::string kDate =
    "(?:(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)";
const std::string kTime =
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const std::string kByte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const std::string kIpv4 = "(?:" + kByte + "\\.){3}" + kByte;
const std::string kLabel = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const std::string kHostname = kLabel + "(?:\\." + kLabel + "){0,3}";
const std::string kPathCharacters = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
const std::string kPath =
    "(?:/" + kPathCharacters + "*)*(?:\\?(?:" + kPathCharacters + "|[/?])*)?(?:#(?:" + kPathCharacters + "|[/?])*)?";
const std::string kUri = "[A-Za-z][A-Za-z0-9+.-]{0,15}://" + kHostname + "(?::[0-9]{1,5})?" + kPath;

std::string ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}";
  std::string out = "(?:" + h + ":){7}" + h + "|(?:" + h + ":){1,7}:";
  for (int before = 1; before <= 6; ++before) {
    out += "|(?:" + h + ":){1," + std::to_string(7 - before) + "}(?::" + h + "){" +
           (before == 1 ? "1" : "1," + std::to_string(before)) + "}";
  }
  return out + "|:(?:(?::" + h + "){1,7}|:)";
}

}  // namespace

std::optional<std::string> format_pattern(std::string_view name) {
  if (name == "date") return kDate;
  if (name == "time") return kTime;
  if (name == "date-time") return kDate + "T" + kTime;
  if (name == "duration") {
    return "P(?:[0-9]{1,4}W|(?:[0-9]{1,4}Y)?(?:[0-9]{1,4}M)?[0-9]{1,4}D(?:T[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?)"
           "?"
           "|T[0-9]{1,4}[HMS])";
  }
  if (name == "uuid") return "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}";
  if (name == "ipv4") return kIpv4;
  if (name == "ipv6") return ipv6();
  if (name == "hostname" || name == "idn-hostname") return kHostname;
  if (name == "email" || name == "idn-email") {
    return "[A-Za-z0-9_%+-]{1,32}(?:\\.[A-Za-z0-9_%+-]{1,24})?@(?:" + kLabel + "\\.){1,3}[A-Za-z]{2,24}";
  }
  if (name == "uri" || name == "iri") return kUri;
  if (name == "uri-reference" || name == "iri-reference") return kUri + "|/" + kPathCharacters + "+" + kPath;
  if (name == "json-pointer") return "(?:/(?:[^~/]|~[01])*)*";
  return {};
}

bool is_annotation_format(std::string_view name) {
  constexpr std::array<std::string_view, 7> kNames{"int32", "int64", "float", "double", "password", "byte", "binary"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

}  // namespace powerhouse::constraints
