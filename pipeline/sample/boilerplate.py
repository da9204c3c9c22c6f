"""What every page of a site repeats, by language: menu, cookie notice, footer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Boilerplate:
    menu: tuple[str, ...]
    cookies: str
    footer: str  # `{number}` and `{year}` vary from page to page: only digits differ

    def foot(self, number: int, year: int) -> str:
        return self.footer.format(number=number, year=year)


def _of(menu: str, cookies: str, footer: str) -> Boilerplate:
    return Boilerplate(tuple(menu.split(" | ")), cookies, footer)


BOILERPLATE = {
    "bg": _of(
        "Начало | Статии | За нас | Контакти | Вход за читатели",
        "Този сайт използва бисквитки, за да работи по-добре. С продължаването приемате това.",
        "Страница номер {number} от архива. Всички права запазени, {year} година.",
    ),
    "ca": _of(
        "Inici | Articles | Qui som | Contacte | Accés de lectors",
        "Aquest lloc fa servir galetes per funcionar millor. Si continueu, les accepteu.",
        "Pàgina número {number} de l'arxiu. Tots els drets reservats, any {year}.",
    ),
    "cs": _of(
        "Domů | Články | O nás | Kontakt | Přihlášení čtenářů",
        "Tyto stránky používají soubory cookie, aby lépe fungovaly. Pokračováním souhlasíte.",
        "Stránka číslo {number} v archivu. Všechna práva vyhrazena, rok {year}.",
    ),
    "da": _of(
        "Forside | Artikler | Om os | Kontakt os | Log ind som læser",
        "Denne side bruger cookies for at virke bedre. Ved at fortsætte accepterer du det.",
        "Side nummer {number} i arkivet. Alle rettigheder forbeholdes, år {year}.",
    ),
    "de": _of(
        "Startseite | Beiträge | Über uns | Kontakt | Anmeldung für Leser",
        "Diese Seite verwendet Cookies, damit sie besser funktioniert. Sie stimmen dem zu.",
        "Seite Nummer {number} des Archivs. Alle Rechte vorbehalten, Jahr {year}.",
    ),
    "en": _of(
        "Home | Articles | About us | Contact | Sign in for readers",
        "This site uses cookies to work better. By reading on you agree to their use.",
        "Page number {number} of the archive. All rights reserved, year {year}.",
    ),
    "es": _of(
        "Inicio | Artículos | Quiénes somos | Contacto | Acceso de lectores",
        "Este sitio utiliza cookies para funcionar mejor. Si continúa, acepta su uso.",
        "Página número {number} del archivo. Todos los derechos reservados, año {year}.",
    ),
    "fr": _of(
        "Accueil | Articles | Qui sommes-nous | Contact | Espace des lecteurs",
        "Ce site utilise des cookies pour mieux fonctionner. En continuant, vous les acceptez.",
        "Page numéro {number} des archives. Tous droits réservés, année {year}.",
    ),
    "hr": _of(
        "Naslovnica | Članci | O nama | Kontakt | Prijava čitatelja",
        "Ova stranica koristi kolačiće kako bi bolje radila. Nastavkom prihvaćate njihovu uporabu.",
        "Stranica broj {number} u arhivi. Sva prava pridržana, godina {year}.",
    ),
    "hu": _of(
        "Kezdőlap | Cikkek | Rólunk | Kapcsolat | Belépés olvasóknak",
        "Ez az oldal sütiket használ, hogy jobban működjön. A folytatással ezt elfogadja.",
        "Az archívum {number}. oldala. Minden jog fenntartva, {year}. év.",
    ),
    "it": _of(
        "Pagina iniziale | Articoli | Chi siamo | Contatti | Accesso lettori",
        "Questo sito utilizza i cookie per funzionare meglio. Continuando, ne accetti l'uso.",
        "Pagina numero {number} dell'archivio. Tutti i diritti riservati, anno {year}.",
    ),
    "nl": _of(
        "Voorpagina | Artikelen | Over ons | Contact | Inloggen voor lezers",
        "Deze site gebruikt cookies om beter te werken. Wie verder leest, gaat daarmee akkoord.",
        "Pagina nummer {number} van het archief. Alle rechten voorbehouden, jaar {year}.",
    ),
    "pl": _of(
        "Strona główna | Artykuły | O nas | Kontakt | Logowanie czytelników",
        "Ta strona używa ciasteczek, aby działać lepiej. Czytając dalej, zgadzasz się na to.",
        "Strona numer {number} w archiwum. Wszelkie prawa zastrzeżone, rok {year}.",
    ),
    "pt": _of(
        "Página inicial | Artigos | Quem somos | Contato | Entrada de leitores",
        "Este site usa cookies para funcionar melhor. Ao continuar, você aceita o seu uso.",
        "Página número {number} do arquivo. Todos os direitos reservados, ano {year}.",
    ),
    "ro": _of(
        "Acasă | Articole | Despre noi | Contact | Autentificare cititori",
        "Acest site folosește module cookie ca să funcționeze mai bine. Continuând, le acceptați.",
        "Pagina numărul {number} din arhivă. Toate drepturile rezervate, anul {year}.",
    ),
    "ru": _of(
        "Главная | Статьи | О нас | Контакты | Вход для читателей",
        "Этот сайт использует файлы cookie, чтобы лучше работать. Продолжая, вы соглашаетесь.",
        "Страница номер {number} из архива. Все права защищены, {year} год.",
    ),
    "sl": _of(
        "Domov | Članki | O nas | Stik | Prijava za bralce",
        "To spletno mesto uporablja piškotke, da deluje bolje. Z nadaljevanjem se strinjate.",
        "Stran številka {number} v arhivu. Vse pravice pridržane, leto {year}.",
    ),
    "sr": _of(
        "Почетна | Чланци | О нама | Контакт | Пријава читалаца",
        "Овај сајт користи колачиће да би боље радио. Настављањем прихватате њихову употребу.",
        "Страница број {number} у архиви. Сва права задржана, година {year}.",
    ),
    "sv": _of(
        "Startsida | Artiklar | Om oss | Kontakta oss | Logga in som läsare",
        "Den här sidan använder kakor för att fungera bättre. Genom att fortsätta godtar du det.",
        "Sida nummer {number} i arkivet. Alla rättigheter förbehållna, år {year}.",
    ),
    "uk": _of(
        "Головна | Статті | Про нас | Контакти | Вхід для читачів",
        "Цей сайт використовує файли cookie, щоб краще працювати. Продовжуючи, ви погоджуєтеся.",
        "Сторінка номер {number} з архіву. Усі права захищено, {year} рік.",
    ),
}
