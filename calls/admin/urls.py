"""The addresses of screens that are no model's. They stand before those of the admin site."""

from django.contrib import admin
from django.urls import path

from calls.admin.dashboard import figures
from calls.admin.erasure import erase_page
from calls.admin.missed import missed_export, missed_page
from calls.admin.numbers import number_page

urlpatterns = [
    path("figures/", admin.site.admin_view(figures), name="dashboard-figures"),
    path("erase-number/", admin.site.admin_view(erase_page), name="erase-number"),
    path("numbers/", admin.site.admin_view(number_page), name="any-number-page"),
    path("numbers/<path:address>/", admin.site.admin_view(number_page), name="number-page"),
    path("missed-calls/", admin.site.admin_view(missed_page), name="missed-calls"),
    path("missed-calls/export.csv", admin.site.admin_view(missed_export), name="missed-calls-export"),
]
