"""Countries and territories that have telephone numbers, and which numbers are theirs.

Which country a number belongs to is said by its beginning: a calling code, which some countries share.
Within the North American plan (+1, 25 countries) the three digits after it tell the countries apart. the few
others that share a code (+7, +44, …) are told apart deeper in their plans, which no range of numbers
reproduces: they are offered together, under all their names.
"""

from dataclasses import dataclass
from functools import lru_cache

import phonenumbers

NORTH_AMERICA = 1

# ISO 3166-1 codes, and the unofficial AC, TA and XK, with English names.
_NAMES = """
    AC Ascension Island; AD Andorra; AE United Arab Emirates; AF Afghanistan; AG Antigua and Barbuda; AI Anguilla;
    AL Albania; AM Armenia; AO Angola; AR Argentina; AS American Samoa; AT Austria; AU Australia; AW Aruba;
    AX Åland Islands; AZ Azerbaijan; BA Bosnia and Herzegovina; BB Barbados; BD Bangladesh; BE Belgium;
    BF Burkina Faso; BG Bulgaria; BH Bahrain; BI Burundi; BJ Benin; BL Saint Barthélemy; BM Bermuda; BN Brunei;
    BO Bolivia; BQ Bonaire, Sint Eustatius and Saba; BR Brazil; BS Bahamas; BT Bhutan; BW Botswana; BY Belarus;
    BZ Belize; CA Canada; CC Cocos Islands; CD Congo (Kinshasa); CF Central African Republic;
    CG Congo (Brazzaville); CH Switzerland; CI Côte d’Ivoire; CK Cook Islands; CL Chile; CM Cameroon; CN China;
    CO Colombia; CR Costa Rica; CU Cuba; CV Cape Verde; CW Curaçao; CX Christmas Island; CY Cyprus;
    CZ Czechia; DE Germany; DJ Djibouti; DK Denmark; DM Dominica; DO Dominican Republic; DZ Algeria;
    EC Ecuador; EE Estonia; EG Egypt; EH Western Sahara; ER Eritrea; ES Spain; ET Ethiopia; FI Finland; FJ Fiji;
    FK Falkland Islands; FM Micronesia; FO Faroe Islands; FR France; GA Gabon; GB United Kingdom; GD Grenada;
    GE Georgia; GF French Guiana; GG Guernsey; GH Ghana; GI Gibraltar; GL Greenland; GM Gambia; GN Guinea;
    GP Guadeloupe; GQ Equatorial Guinea; GR Greece; GT Guatemala; GU Guam; GW Guinea-Bissau; GY Guyana;
    HK Hong Kong; HN Honduras; HR Croatia; HT Haiti; HU Hungary; ID Indonesia; IE Ireland; IL Israel;
    IM Isle of Man; IN India; IO British Indian Ocean Territory; IQ Iraq; IR Iran; IS Iceland; IT Italy; JE Jersey;
    JM Jamaica; JO Jordan; JP Japan; KE Kenya; KG Kyrgyzstan; KH Cambodia; KI Kiribati; KM Comoros;
    KN Saint Kitts and Nevis; KP North Korea; KR South Korea; KW Kuwait; KY Cayman Islands; KZ Kazakhstan; LA Laos;
    LB Lebanon; LC Saint Lucia; LI Liechtenstein; LK Sri Lanka; LR Liberia; LS Lesotho; LT Lithuania;
    LU Luxembourg; LV Latvia; LY Libya; MA Morocco; MC Monaco; MD Moldova; ME Montenegro; MF Saint Martin;
    MG Madagascar; MH Marshall Islands; MK North Macedonia; ML Mali; MM Myanmar; MN Mongolia; MO Macao;
    MP Northern Mariana Islands; MQ Martinique; MR Mauritania; MS Montserrat; MT Malta; MU Mauritius; MV Maldives;
    MW Malawi; MX Mexico; MY Malaysia; MZ Mozambique; NA Namibia; NC New Caledonia; NE Niger; NF Norfolk Island;
    NG Nigeria; NI Nicaragua; NL Netherlands; NO Norway; NP Nepal; NR Nauru; NU Niue; NZ New Zealand; OM Oman;
    PA Panama; PE Peru; PF French Polynesia; PG Papua New Guinea; PH Philippines; PK Pakistan; PL Poland;
    PM Saint Pierre and Miquelon; PR Puerto Rico; PS Palestine; PT Portugal; PW Palau; PY Paraguay; QA Qatar;
    RE Réunion; RO Romania; RS Serbia; RU Russia; RW Rwanda; SA Saudi Arabia; SB Solomon Islands; SC Seychelles;
    SD Sudan; SE Sweden; SG Singapore; SH Saint Helena; SI Slovenia; SJ Svalbard and Jan Mayen; SK Slovakia;
    SL Sierra Leone; SM San Marino; SN Senegal; SO Somalia; SR Suriname; SS South Sudan; ST São Tomé and Príncipe;
    SV El Salvador; SX Sint Maarten; SY Syria; SZ Eswatini; TA Tristan da Cunha;
    TC Turks and Caicos Islands; TD Chad; TG Togo; TH Thailand; TJ Tajikistan; TK Tokelau; TL Timor-Leste;
    TM Turkmenistan; TN Tunisia; TO Tonga; TR Türkiye; TT Trinidad and Tobago; TV Tuvalu; TW Taiwan; TZ Tanzania;
    UA Ukraine; UG Uganda; US United States; UY Uruguay; UZ Uzbekistan; VA Vatican;
    VC Saint Vincent and the Grenadines; VE Venezuela; VG British Virgin Islands; VI U.S. Virgin Islands;
    VN Vietnam; VU Vanuatu; WF Wallis and Futuna; WS Samoa; XK Kosovo; YE Yemen; YT Mayotte; ZA South Africa;
    ZM Zambia; ZW Zimbabwe
"""
NAMES: dict[str, str] = {entry.split()[0]: entry.split(maxsplit=1)[1].strip() for entry in _NAMES.split(";")}


@dataclass(frozen=True, slots=True)
class Country:
    """A country, or some that share a calling code, as numbers show it.

    `areas` are the beginnings (+1 and three digits) that are its own where the plan is shared; if empty,
    every number with the calling code is.
    """

    key: str
    name: str
    calling_code: str
    areas: tuple[str, ...] = ()


def country_name(region: str) -> str:
    """Return the name of a region such as US; empty for one that has no number."""
    return NAMES.get(region, "")


@lru_cache(maxsize=1)
def countries() -> dict[str, Country]:
    """Return all that can be told apart by the beginning of a number, by key (the main region), in order of name."""
    found = []
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        if regions == ("001",):  # numbers of no country: satellites, freephone
            continue
        if code == NORTH_AMERICA:
            found += [Country(region, NAMES[region], "+1", areas) for region, areas in _areas().items()]
        else:
            found.append(Country(regions[0], ", ".join(NAMES[region] for region in regions), f"+{code}"))
    return {country.key: country for country in sorted(found, key=lambda country: country.name)}


def _areas() -> dict[str, tuple[str, ...]]:
    """Return the area codes of each country of the North American plan, as the numbering metadata knows them.

    Asked for a number of every area code; where the plan has none, or no country, there is no answer.
    """
    areas: dict[str, list[str]] = {}
    for area in range(200, 1000):
        number = phonenumbers.PhoneNumber(country_code=NORTH_AMERICA, national_number=area * 10**7 + 555_01_99)
        if region := phonenumbers.region_code_for_number(number):
            areas.setdefault(region, []).append(f"+1{area}")
    return {region: tuple(found) for region, found in areas.items()}
